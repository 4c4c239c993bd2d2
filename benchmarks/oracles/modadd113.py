"""modadd113 forward (position -1 only, exact), f32/f64."""
import os
import numpy as np
from fixture_files import load
F=os.path.join(os.environ['FLYROOM_FIXTURES'],'modadd113',''); P=113
class Net:
    def __init__(s,seed,dt=np.float64):
        s.W={k:(v.astype(dt) if v.dtype==np.float32 else v) for k,v in load(F+f'modadd_seed{seed}.safetensors')[0].items()}
        s.a,s.b=[x.ravel() for x in np.meshgrid(np.arange(P),np.arange(P),indexing='ij')]; s.y=(s.a+s.b)%P
    def fwd(s,WE=None,e0=None,e1=None,causal=True,a=None,b=None):
        """logits at position 2, [n,114]; tokens (a,b,113). e0/e1: override embeddings at pos 0/1 [n,128]. Pos 2 query attends to all 3: causal mask is invisible at the read position in 1 layer."""
        W=s.W; WE=W['embed.W_E'] if WE is None else WE; a=s.a if a is None else a; b=s.b if b is None else b
        x=np.stack([WE[a] if e0 is None else e0, WE[b] if e1 is None else e1, np.broadcast_to(WE[P],(len(a),128))],1)+W['pos_embed.W_pos']
        A='blocks.0.attn.'; xl=x[:,2]; out=xl+W[A+'b_O']; s.pat=[]
        for h in range(4):
            q=xl@W[A+'W_Q'][h]+W[A+'b_Q'][h]; k=x@W[A+'W_K'][h]+W[A+'b_K'][h]; v=x@W[A+'W_V'][h]+W[A+'b_V'][h]
            z=np.einsum('nd,ntd->nt',q,k)/np.sqrt(32); z=np.exp(z-z.max(1,keepdims=True)); z/=z.sum(1,keepdims=True); s.pat.append(z)
            out=out+np.einsum('nt,ntd->nd',z,v)@W[A+'W_O'][h]
        M='blocks.0.mlp.'; m=np.maximum(out@W[M+'W_in']+W[M+'b_in'],0)
        s.post=m
        return (out+m@W[M+'W_out']+W[M+'b_out'])@W['unembed.W_U']+W['unembed.b_U']
def ce(l,y): m=l.max(1,keepdims=True); return float((np.log(np.exp(l-m).sum(1))+m[:,0]-l[np.arange(len(y)),y]).mean())
def basis(k,n=P):
    t=2*np.pi*k*np.arange(n)/n; return np.stack([np.cos(t),np.sin(t)])*np.sqrt(2/n)
def power(WE):
    M=WE[:P]; return np.array([((basis(k)@M)**2).sum() for k in range(1,57)])
def remove(WE,ks):
    R=WE.copy()
    for k in ks: B=basis(k); R[:P]-=B.T@(B@WE[:P])
    return R
TOP={0:[15,18,1,8,56,36],1:[1,30,38,49]}
if __name__=='__main__':
  for seed in (0,1):
    n=Net(seed); l=n.fwd(); y=n.y; W=n.W
    print('== seed',seed,'acc114',(l.argmax(1)==y).mean(),'acc113',(l[:,:P].argmax(1)==y).mean(),'CE114',ce(l,y),'CE113',ce(l[:,:P],y),'mask',n.W['blocks.0.attn.mask'].astype(int).tolist(), 'logit113 mean',l[:,P].mean(), 'wrong',int((l[:,:P].argmax(1)!=y).sum()))
    l32=Net(seed,np.float32).fwd(); print('f32-f64 max',np.abs(l32-l).max(),'acc32',(l32.argmax(1)==y).mean(), 'max|logit|',np.abs(l).max())
    # full 3-position causal check is unnecessary; alternative reads
    p=power(W['embed.W_E']); tot=p.sum(); o=np.argsort(-p)
    print('power top', [(int(i+1),round(float(p[i]/tot),4)) for i in o[:10]],'sum top',{c:round(float(p[o[:c]].sum()/tot),4) for c in (4,5,6)},'max/median',p.max()/np.median(p))
    mc=(W['embed.W_E'][:P]-W['embed.W_E'][:P].mean(0)); print('  check nonconst', (mc**2).sum(), tot)
    pu=power(W['unembed.W_U'].T[:P]); o2=np.argsort(-pu); print('W_U power',[(int(i+1),round(float(pu[i]/pu.sum()),4)) for i in o2[:8]])
    # logits' Fourier power along (a+b-c)
    Lc=l[:,:P]-l[:,:P].mean(1,keepdims=True); TSS=(Lc**2).sum()
    d=(n.y[:,None]-np.arange(P)[None])%P
    f=np.bincount(d.ravel(),Lc.ravel(),P)/(P*P)   # mean logit as function of a+b-c
    print('mean function of d alone R2', float((f[d]**2).sum()/TSS))
    al={}
    for k in range(1,57):
        c=np.cos(2*np.pi*k*np.arange(P)/P); s_=np.sin(2*np.pi*k*np.arange(P)/P); al[k]=(2/P*(f*c).sum(),2/P*(f*s_).sum())
    r2k={k:P**3*(al[k][0]**2)/2/TSS for k in al}; r2ks={k:P**3*(al[k][1]**2)/2/TSS for k in al}
    top=sorted(r2k,key=lambda k:-r2k[k])[:8]
    print('cos R2 by k (alpha, R2cos, R2sin)',[(k,round(al[k][0],3),round(r2k[k],4),round(r2ks[k],6)) for k in top])
    for ks in (TOP[seed],[int(i+1) for i in o[:4]],[int(i+1) for i in o[:5]],[int(i+1) for i in o[:6]],top[:4],top[:5],top[:6]): print('   R2 ks',ks,'cos only',round(sum(r2k[k] for k in ks),4),'with phase',round(sum(r2k[k]+r2ks[k] for k in ks),4))
    Lu=l[:,:P]; print('  TSS about overall mean (uncentred per row):', ((Lu-Lu.mean())**2).sum(), 'TSS centred rows', TSS, 'column-mean-removed TSS',((Lc-Lc.mean(0))**2).sum())
    # centre additionally by column means
    T2=((Lc-Lc.mean(0))**2).sum(); print('  R2 with column means as free terms:', round(1-(T2-sum(r2k[k] for k in TOP[seed])*TSS)/TSS,4), 'relative T2', round(sum(r2k[k] for k in TOP[seed])*TSS/T2,4))
    for k in [int(i+1) for i in o[:8]]:
        R=remove(W['embed.W_E'],[k]); l2=n.fwd(R); dl=l2-l; dc=dl[:,:P]-dl[:,:P].mean(1,keepdims=True)
        print('  remove W_E k',k,'acc %.4f (drop %.4f) CE %.4f maxdl %.3f max centred dl %.3f rel effect |dc|2/TSS %.4f'%((l2.argmax(1)==y).mean(),(l.argmax(1)==y).mean()-(l2.argmax(1)==y).mean(),ce(l2,y),np.abs(dl).max(),np.abs(dc).max(),(dc**2).sum()/TSS), end=' | ')
        # logit-space removals
        L=l[:,:P]; D=np.stack([np.cos(2*np.pi*k*d/P)]); l3=L-al[k][0]*np.cos(2*np.pi*k*d/P)-al[k][1]*np.sin(2*np.pi*k*d/P)
        print('logits minus cos(a+b-c): drop %.4f CE %.4f'%(1-(l3.argmax(1)==y).mean(),ce(l3,y)),end=' | ')
        B=basis(k); l4=L-(L@B.T)@B; print('logits over c: drop %.4f'%(1-(l4.argmax(1)==y).mean()),end=' | ')
        # Nanda excluded: project logits on cos(w(a+b)), sin(w(a+b)) over inputs and subtract
        c=np.cos(2*np.pi*k*y/P)/np.sqrt(P*P/2); s_=np.sin(2*np.pi*k*y/P)/np.sqrt(P*P/2); l5=l-np.outer(c,c@l)-np.outer(s_,s_@l)
        print('excluded(Nanda): drop %.4f CE %.4f'%(1-(l5[:,:P].argmax(1)==y).mean(),ce(l5,y)))
