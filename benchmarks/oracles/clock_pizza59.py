"""clock-pizza59: forward on all 59^2 pairs (x=[a,b], 2 tokens, no '='), read last position."""
import os
import json, numpy as np
from fixture_files import load
F=os.path.join(os.environ['FLYROOM_FIXTURES'],'clock-pizza59',''); P=59
def fwd(W,c,e=None,orient='TL_T',scale=np.sqrt(32),mask=False,norm='softmax'):
    a,b=[x.ravel() for x in np.meshgrid(np.arange(P),np.arange(P),indexing='ij')]
    x=(W['embed.W_E'].T[np.stack([a,b],1)] if e is None else e)+W['pos_embed.W_pos']
    A='blocks.0.attn.'; k=np.einsum('ihd,bpd->biph',W[A+'W_K'],x); q=np.einsum('ihd,bpd->biph',W[A+'W_Q'],x); v=np.einsum('ihd,bpd->biph',W[A+'W_V'],x)
    s=np.einsum('biqh,biph->biqp',q,k)/scale
    if mask: s=np.where(W[A+'mask']>0,s,-1e30)
    s=np.exp(s-s.max(-1,keepdims=True)); s/=s.sum(-1,keepdims=True); s=c*s+(1-c)
    z=np.einsum('biqp,biph->bqih',s,v).reshape(len(x),2,128)      # (head, dim) flattened head-major
    o=z@(W[A+'W_O'].T if orient=='TL_T' else W[A+'W_O']); x=x+o
    M='blocks.0.mlp.'; x=x+np.maximum(x@W[M+'W_in'].T+W[M+'b_in'],0)@W[M+'W_out'].T+W[M+'b_out']
    return x@W["unembed.W_U"],(a+b)%P
if __name__=='__main__':
    for f in('l8k1hzciux','p99zdpze5l'):
        W,_=load(F+f'model_{f}.safetensors'); W={k:v.astype(np.float64) for k,v in W.items()}; c=json.load(open(F+f'config_{f}.json'))['attn_coeff']
        for kw in (dict(),dict(orient='raw'),dict(scale=1.0),dict(mask=True)):
            l,y=fwd(W,c,**kw)
            ce=lambda l:(np.log(np.exp(l-l.max(1,keepdims=True)).sum(1))+l.max(1)-l[np.arange(len(y)),y]).mean()
            print(f,'c',c,kw,'acc pos0 %.4f pos1 %.4f CE pos1 %.6g'%((l[:,0].argmax(1)==y).mean(),(l[:,1].argmax(1)==y).mean(),ce(l[:,1])))
        for cc in (0.,.5,1.): l,y=fwd(W,cc); print('   with c',cc,'acc',(l[:,1].argmax(1)==y).mean())
        E=W['embed.W_E'].T; t=2*np.pi*np.outer(np.arange(1,30),np.arange(P))/P; B=np.stack([np.cos(t),np.sin(t)])*np.sqrt(2/P); p=((B@E)**2).sum((0,2)); o=np.argsort(-p); print('   W_E power',[(int(i+1),round(float(p[i]/p.sum()),4)) for i in o[:8]])
        l,_=fwd(W,c); L=l[:,1].reshape(P,P,P); cor=np.stack([L[i,j,(i+j)%P] for i in range(P) for j in range(P)]).reshape(P,P)
        # distance irrelevance: mean over d of std over pairs with a-b=d of correct logit / std overall
        M=np.stack([[cor[i,(i-dd)%P] for i in range(P)] for dd in range(P)])  # [d,i]
        print('   distance irrelevance (pizza: mean_d std within a-b=d / std all) %.4f'%(M.std(1).mean()/cor.std()), 'ddof1 %.4f'%(M.std(1,ddof=1).mean()/cor.std(ddof=1)))
        # gradient symmetricity: cos(dQ_abc/dE_a, dQ_abc/dE_b), numeric via analytic? use finite jvp per random triple: analytic backprop
        rng=np.random.default_rng(0); n=200; cs=[]
        a=rng.integers(0,P,n);b=rng.integers(0,P,n);cc_=rng.integers(0,P,n); h=1e-5
        for i in range(n):
            e0=np.stack([E[a[i]],E[b[i]]]); eb=np.repeat(e0[None],512,0); I=np.arange(128); eb[I,0,I]+=h; eb[128+I,0,I]-=h; eb[256+I,1,I]+=h; eb[384+I,1,I]-=h
            q=fwd(W,c,e=eb)[0][:,1,cc_[i]]; ga=(q[:128]-q[128:256]); gb=(q[256:384]-q[384:]); cs.append(ga@gb/np.linalg.norm(ga)/np.linalg.norm(gb))
        print('   gradient symmetricity (200 random triples a,b,c) %.4f se %.4f'%(np.mean(cs),np.std(cs)/np.sqrt(n)))
