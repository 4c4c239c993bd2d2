"""induction26 forward + sampling + edge cuts."""
import os
import sys, numpy as np
from fixture_files import load
F=os.path.join(os.environ['FLYROOM_FIXTURES'],'induction26','')
V,C,D=26,8,64
class Net:
    def __init__(s,f,dt=np.float64): s.W={k:(v.astype(dt) if v.dtype==np.float32 else v) for k,v in load(F+f)[0].items()}
    def fwd(s,t,patch=None,scale=8.0):
        """patch: dict input-name -> a0 replacement [B,T,D] for receivers 'k','q','v','out','ka','qa' ..."""
        W=s.W; T=t.shape[1]; x0=W['embed.W_E'][t]+W['pos_embed.W_pos'][:T]
        def attn(l,xq,xk,xv):
            g=lambda n: W[f'blocks.{l}.attn.{n}'][0]
            b=lambda n: W[f'blocks.{l}.attn.{n}'][0]
            q=xq@g('W_Q')+b('b_Q'); k=xk@g('W_K')+b('b_K'); v=xv@g('W_V')+b('b_V')
            a=q@k.swapaxes(1,2)/scale; a=np.where(np.tril(np.ones((T,T),bool)),a,-np.inf); a=np.exp(a-a.max(-1,keepdims=True)); a/=a.sum(-1,keepdims=True)
            s.pat=a
            return (a@v)@g('W_O')+W[f'blocks.{l}.attn.b_O']
        a0=attn(0,x0,x0,x0); p=patch or {}
        s.a0=a0; s.x0=x0
        x1=x0+a0; r=lambda n: x0+p[n] if n in p else x1
        a1=attn(1,r('q'),r('k'),r('v')); x2=r('out')+a1
        return x2@W['unembed.W_U']+W['unembed.b_U']
def sample(n,rng,kind):
    """kind: 'rejection' uniform i.i.d. 26^8, keep if last token occurs exactly once in 0..6 (and not at 6 unless adj);
    'distinct': 7 distinct tokens, last = copy of position j uniform 0..5 (0..6 with adj)."""
    base,adj=kind.split('+')[0],'+adj' in kind
    out=[]
    if base=='rejection':
        while sum(map(len,out))<n:
            t=rng.integers(0,V,(200000,C)); m=(t[:,:-1]==t[:,-1:]); ok=m.sum(1)==1
            if not adj: ok&=~m[:,6]
            out.append(t[ok])
        t=np.concatenate(out)[:n]
    elif base=='distinct':
        t=np.argsort(rng.random((n,V)),1)[:,:8]; j=rng.integers(0,7 if adj else 6,n); t[:,7]=t[np.arange(n),j]
    elif base=='fillrand':  # A placed at j, A last, other positions i.i.d. uniform over the 25 others
        a=rng.integers(0,V,n); t=rng.integers(0,V-1,(n,C)); t=t+(t>=a[:,None]); j=rng.integers(0,7 if adj else 6,n); t[np.arange(n),j]=a; t[:,7]=a
    m=(t[:,:-1]==t[:,-1:]); j=m.argmax(1); y=t[np.arange(len(t)),j+1]
    return t,y,j
acc=lambda l,y: (l[:,-1].argmax(1)==y).mean()
def main():
    nets={f:Net(f+'.safetensors') for f in('solves','at-chance')}
    N=20000
    for kind in ('rejection','rejection+adj','distinct','distinct+adj','fillrand','fillrand+adj'):
        t,y,j=sample(N,np.random.default_rng(0),kind)
        for f,n in nets.items():
            l=n.fwd(t); print(f'{kind:15s} {f:10s} acc {acc(l,y):.4f}', 'by j', [round(float((l[j==q,-1].argmax(1)==y[j==q]).mean()),3) for q in range(7) if (j==q).any()])
        print('   no scale:',acc(nets['solves'].fwd(t,scale=1.0),y))
    # every strong-signal position
    n=nets['solves']
    for kind in ('rejection','distinct'):
        t,y,j=sample(N,np.random.default_rng(1),kind); l=n.fwd(t); base=acc(l,y); a0=n.a0.copy()
        lp=lambda l: float((np.log(np.exp(l[:,-1]-l[:,-1].max(1,keepdims=True)).sum(1))+l[:,-1].max(1)-l[np.arange(len(y)),-1,y]).mean())
        print(kind,'clean',base,'CE',lp(l))
        rng=np.random.default_rng(2); td,yd,jd=sample(N,np.random.default_rng(3),kind); n.fwd(td); ad=n.a0.copy(); n.fwd(rng.integers(0,V,(N,C))); ar=n.a0.copy(); n.fwd(t)
        # corrupt: same sequence, other j  (distinct only): last token changed to another of the first six
        tc=t.copy(); tc[:,7]=(t[:,7]+1+rng.integers(0,V-1,N))%V; n.fwd(tc); ac=n.a0.copy()
        perm=rng.permutation(N)
        for nm,rep in (('zero',np.zeros_like(a0)),('mean per position',np.broadcast_to(a0.mean(0),a0.shape)),('global mean',np.broadcast_to(a0.mean((0,1)),a0.shape)),('resample: independent draw, same distribution',ad),('resample: uniform 26^8',ar),('resample: permuted set',a0[perm]),('corrupt: last token replaced',ac)):
            print('  %-46s'%nm,{r:round(float(acc(n.fwd(t,{r:rep}),y)),4) for r in ('k','q','v','out')}, 'KQ+V all', round(float(acc(n.fwd(t,{r:rep for r in 'kqv'}),y)),4), 'CE k', round(lp(n.fwd(t,{'k':rep})),3))
if __name__=='__main__': main()
