"""Interchange (A) skill with free read-out in c: sum over {cos,sin}(w_k(a+b)) x vectors over c fitted on the clean logits."""
from modadd113 import *
for s in (0,1):
    n=Net(s); W=n.W['embed.W_E']; WS=W[:P]; l=n.fwd()[:,:P]; L=l-l.mean(1,keepdims=True); T=(L**2).sum(); y=n.y
    rng=np.random.default_rng(5); N=2000; a=rng.integers(0,P,N); b=rng.integers(0,P,N); a2=(a+rng.integers(1,P,N))%P
    base=n.fwd(a=a,b=b)[:,:P]; tot=0
    for k in TOP[s]+([15] if s==1 else []):
        ph=lambda q:2*np.pi*k*q/P
        C=2/P**2*(np.cos(ph(y))@L); S=2/P**2*(np.sin(ph(y))@L); r=P*P/2*((C**2).sum()+(S**2).sum())/T; tot+=r
        F=basis(k).T@(basis(k)@WS); D=n.fwd(a=a,b=b,e0=WS[a]+F[a2]-F[a])[:,:P]-base; D-=D.mean(1,keepdims=True)
        pr=np.outer(np.cos(ph(a2+b))-np.cos(ph(a+b)),C)+np.outer(np.sin(ph(a2+b))-np.sin(ph(a+b)),S)
        al=(C@np.cos(ph(np.arange(P)))+S@np.sin(ph(np.arange(P))))/P
        print('seed',s,'k',k,'clean R2 with free c %.4f'%r,'interchange skill %.3f best scale %.3f'%(1-((D-pr)**2).sum()/(D**2).sum(),(D*pr).sum()/(pr**2).sum()),'alpha check %.3f'%al)
    print('  sum over keys + column means', tot)
