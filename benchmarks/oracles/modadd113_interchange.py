"""Interchange of the frequency-k part of hook_embed at pos 0; skill of alpha_k (cos w(a'+b-c) - cos w(a+b-c))."""
from modadd113 import *
N=3000
for seed in (0,1):
    n=Net(seed); W=n.W['embed.W_E']; l=n.fwd()[:,:P]; L=l-l.mean(1,keepdims=True); TSS=(L**2).sum()
    d=(n.y[:,None]-np.arange(P)[None])%P; f=np.bincount(d.ravel(),L.ravel(),P)/P**2
    al={k:2/P*(f*np.cos(2*np.pi*k*np.arange(P)/P)).sum() for k in range(1,57)}
    dif=(n.a-n.b)%P
    # clean fit with amplitude a free function of a-b
    print('== seed',seed,'mean |L|^2 per row',TSS/P**2)
    keys=TOP[seed]; tot=0
    for k in keys:
        c=np.cos(2*np.pi*k*d/P); s_=np.sin(2*np.pi*k*d/P); ac=np.bincount(dif,(L*c).sum(1),P)/P/(P/2); as_=np.bincount(dif,(L*s_).sum(1),P)/P/(P/2)
        r=(ac**2).sum()*P*P/2/TSS; rs=(as_**2).sum()*P*P/2/TSS; tot+=r+rs
        h=np.cos(np.pi*k*np.arange(P)/P)  # half angle
        print('  clean k',k,'alpha %.3f'%al[k],'R2 const %.4f, amplitude free in (a-b): cos %.4f sin %.4f'%(P**3*al[k]**2/2/TSS,r,rs),'amplitude min/max %.2f %.2f'%(ac.min(),ac.max()),'corr with |cos(w(a-b)/2)| %.3f, with cos(w(a-b)) %.3f'%(np.corrcoef(ac,np.abs(h))[0,1],np.corrcoef(ac,np.cos(2*np.pi*k*np.arange(P)/P))[0,1]))
    print('  sum R2 with free amplitude over keys %.4f'%tot)
    rng=np.random.default_rng(5); a=rng.integers(0,P,N); b=rng.integers(0,P,N); a2=(a+rng.integers(1,P,N))%P
    base=n.fwd(a=a,b=b)[:,:P]; cen=lambda x: x-x.mean(1,keepdims=True)
    WS=W[:P]; c_=np.arange(P)[None]
    allD=np.concatenate([basis(k)@WS for k in keys]) ; pin=np.linalg.pinv(allD)   # keys' directions [2K,128]
    def delta(e): return cen(n.fwd(a=a,b=b,e0=e)[:,:P]-base)
    dd=lambda k: np.cos(2*np.pi*k*(a2+b)[:,None]/P-2*np.pi*k*c_/P)-np.cos(2*np.pi*k*(a+b)[:,None]/P-2*np.pi*k*c_/P)
    feats={k:dd(k) for k in keys}
    dsn=lambda k: np.sin(2*np.pi*k*(a2+b)[:,None]/P-2*np.pi*k*c_/P)-np.sin(2*np.pi*k*(a+b)[:,None]/P-2*np.pi*k*c_/P)
    def rep(nm,D,pred,k=None):
        t=(D**2).sum(); sk=1-((D-pred)**2).sum()/t; be=(D*pred).sum()/(pred**2).sum(); r2=(D*pred).sum()**2/(pred**2).sum()/t
        ex=''
        if k:
            X=np.stack([feats[j].ravel() for j in keys]+[dsn(j).ravel() for j in keys]); co=np.linalg.solve(X@X.T+1e-9*np.eye(len(X)),X@D.ravel()); ex=' all-key LS R2 %.3f (coef on own cos %.2f)'%(1-((D.ravel()-co@X)**2).sum()/t,co[keys.index(k)])
            # amplitude depends on a-b before/after (tables from clean net): 
            dbf=((a-b)%P); daf=((a2-b)%P); A=amp[k]; pr=A[daf][:,None]*np.cos(2*np.pi*k*((a2+b)[:,None]-c_)/P)-A[dbf][:,None]*np.cos(2*np.pi*k*((a+b)[:,None]-c_)/P)
            ex+=' | table-amplitude(a-b) skill %.3f bestscaled R2 %.3f'%(1-((D-pr)**2).sum()/t,(D*pr).sum()**2/(pr**2).sum()/t)
        print('  %-34s rms effect %.2f (of rms centred logit %.2f) skill %.3f best scale %.3f -> R2 %.3f'%(nm,np.sqrt((D**2).mean()),np.sqrt(TSS/P**3),sk,be,r2)+ex)
    amp={}
    for k in keys:
        c=np.cos(2*np.pi*k*d/P); amp[k]=np.bincount(dif,(L*c).sum(1),P)/P/(P/2)
    full=cen(n.fwd(a=a2,b=b)[:,:P]-base); rep('whole embedding a->a2',full,sum(al[k]*feats[k] for k in keys))
    for k in keys+([15,34] if seed==1 else [3]):
        if k not in feats: feats[k]=dd(k)
        Fk=basis(k).T@(basis(k)@WS)                       # [113,128] Fourier part of frequency k
        U=np.linalg.qr((basis(k)@WS).T)[0]; Pk=U@U.T      # orthogonal projector
        if k in keys: i=keys.index(k); Ok=pin[:,2*i:2*i+2]@allD[2*i:2*i+2]   # oblique: e -> coords among keys -> directions
        for nm,E in (('A fourier',WS[a]+Fk[a2]-Fk[a]),('B orth',WS[a]+(WS[a2]-WS[a])@Pk))+((('C oblique keys',WS[a]+(WS[a2]-WS[a])@Ok),) if k in keys else ()):
            rep(f'k {k} {nm}',delta(E),al[k]*feats[k],k if k in keys else None)
    U=[np.linalg.qr((basis(k)@WS).T)[0] for k in keys]
    print('  principal cosines between key subspaces:',[(keys[i],keys[j],round(float(np.linalg.svd(U[i].T@U[j])[1][0]),3)) for i in range(len(keys)) for j in range(i)])
    allF=sum(basis(k).T@(basis(k)@WS) for k in keys); rep('all keys together, A',delta(WS[a]+allF[a2]-allF[a]),sum(al[k]*feats[k] for k in keys))
    # removal from W_E (both positions): effect vs -alpha_k cos
    for k in keys:
        D=cen(n.fwd(remove(W,[k]))[:,:P]-l); pr=-al[k]*np.cos(2*np.pi*k*d/P); t=(D**2).sum(); print('  removal k',k,'skill %.3f best scale %.3f R2 %.3f'%(1-((D-pr)**2).sum()/t,(D*pr).sum()/(pr**2).sum(),(D*pr).sum()**2/(pr**2).sum()/t))
    keep=WS.mean(0)+allF; Wk=W.copy(); Wk[:P]=keep; l2=n.fwd(Wk)[:,:P]; print('  only keys + mean kept in W_E: acc %.4f CE %.4f'%((l2.argmax(1)==n.y).mean(),ce(l2,n.y)))
