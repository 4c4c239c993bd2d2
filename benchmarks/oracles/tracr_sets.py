"""In-domain single SET interventions on every variable at its final write site, one position at a time: network = program?
Program = general evaluator with overrides; None = nothing selected (aggregate output 0 vector)."""
import os
import sys
from tracr import *
SPEC={'hist':['tokens','hist_12_selector_width_attn_output','hist_12'],
'reverse':['tokens','indices','length_5_selector_width_attn_output','length_5','opp_idx_4','opp_idx-1_3','reverse_1'],
'sort_unique':['tokens','indices','target_pos_16_selector_width_attn_output','target_pos_16','sort_14'],
'frac_prevs_x':['tokens','indices','map_11','frac_prevs_9']}
SITE={'tokens':'embed','indices':'embed','hist_12_selector_width_attn_output':'a0','hist_12':'m0','length_5_selector_width_attn_output':'a0','length_5':'m0','opp_idx_4':'m1','opp_idx-1_3':'m2','reverse_1':'a3','target_pos_16_selector_width_attn_output':'a0','target_pos_16':'m0','sort_14':'a1','map_11':'m0','frac_prevs_9':'a1'}
def agg(sel,val,n):  # returns dict value->weight (vector), or {} if nothing selected
    out=[]
    for q in range(n):
        s=[val[k] for k in range(n) if sel(k,q)]; out.append({v:s.count(v)/len(s) for v in set(s)} if s else {})
    return out
def program(name,s,ov):
    n=len(s); V={}
    def let(var,x):
        x=list(x)
        if var in ov: p,v=ov[var]; x[p]=v
        V[var]=x; return x
    t=let('tokens',s); i=let('indices',range(n))
    inv=lambda w:[round(1/x)-1 for x in w]
    if name=='hist':
        w=let('hist_12_selector_width_attn_output',[1/(1+t.count(x)) for x in t]); let('hist_12',inv(w))
    elif name=='reverse':
        w=let('length_5_selector_width_attn_output',[1/(1+n)]*n); L=let('length_5',inv(w)); o=let('opp_idx_4',[l-j for l,j in zip(L,i)]); o1=let('opp_idx-1_3',[x-1 for x in o])
        let('reverse_1',agg(lambda k,q:i[k]==o1[q],t,n))
    elif name=='sort_unique':
        w=let('target_pos_16_selector_width_attn_output',[1/(1+sum(int(u)<int(x) for u in t)) for x in t]); tp=let('target_pos_16',inv(w)); let('sort_14',agg(lambda k,q:tp[k]==i[q],t,n))
    else:
        m=let('map_11',[float(x=='x') for x in t])
        f=[]
        for q in range(n):
            s_=[m[k] for k in range(n) if i[k]<=i[q]]; f.append(sum(s_)/len(s_) if s_ else 0.)
        let('frac_prevs_9',f)
    return V
def domain(n,name,var,T):
    if var=='tokens': return n.J['vocab']
    if var=='map_11': return [0.,1.]
    if var=='frac_prevs_9': return sorted({a/b for b in range(1,n.J['max_seq_len']+1) for a in range(b+1)})
    if var.endswith('_attn_output'): return [1/(1+w) for w in range(n.J['max_seq_len']+1)]
    return [ (x if var in('reverse_1','sort_14') else int(x)) for x in cols(n,var)[1]]
def fwdset(n,tok,site,edits):
    """edits: cols, array values [B,len(cols)], positions [B]"""
    B=len(tok); T=tok.shape[1]; x=n.E[tok]+n.P[:T]; R=[]
    c,val,pos=edits
    def ed(s,x):
        if s==site: x=x.copy(); x[np.arange(B)[:,None],pos[:,None],np.array(c)[None]]=val
        R.append((s,x)); return x
    lin=lambda h,k: h@n.w(k+'/w')+n.w(k+'/b'); x=ed('embed',x)
    for l in range(n.nl):
        p=f'layer_{l}/attn/'; q,k,v=[lin(x,p+z) for z in('query','key','value')]; a=q@k.swapaxes(1,2)/np.sqrt(n.ks).astype(n.dt); a=np.exp(a-a.max(-1,keepdims=True)); a/=a.sum(-1,keepdims=True)
        x=ed(f'a{l}',x+lin(a@v,p+'linear')); p=f'layer_{l}/mlp/'; x=ed(f'm{l}',x+lin(np.maximum(lin(x,p+'linear_1'),0),p+'linear_2'))
    return R
def main(name):
    n=Net(name,np.float32); rng=np.random.default_rng(0); allv=sorted({l.split(':')[0] for l in n.L})
    for var in SPEC[name]:
        site=SITE[var]; c,lab=cols(n,var); worst={}; out_of=0; tot=0; none=0; bad=0; badex=[]
        for T in range(1,n.J['max_seq_len']+1):
            I=inputs(n,T); I=[I[j] for j in rng.permutation(len(I))[:60]]; cases=[(s,p,v) for s in I for p in range(T) for v in domain(n,name,var,T)]
            cases=[cases[j] for j in rng.permutation(len(cases))[:1500]]
            tok=np.array([[n.enc['BOS']]+[n.enc[t] for t in s] for s,_,_ in cases]); val=np.zeros((len(cases),len(c)),n.dt)
            for b,(s,p,v) in enumerate(cases):
                if numeric(var): val[b,0]=v
                else: val[b,lab.index(str(v))]=1
            R=dict(fwdset(n,tok,site,(c,val,np.array([p+1 for _,p,_ in cases]))))
            last=R[list(R)[-1]]
            for b,(s,p,v) in enumerate(cases):
                tot+=1; V=program(name,list(s),{var:(p,v)})
                ok=True
                for w in V:
                    cw,lw=cols(n,w); tg=np.zeros((T,len(cw)))
                    flag=False
                    for q,xv in enumerate(V[w]):
                        if isinstance(xv,dict):
                            for z,wt in xv.items(): tg[q,lw.index(str(z))]=wt
                            if not xv: none+=1
                        elif numeric(w): tg[q,0]=xv
                        elif str(xv) in lw: tg[q,lw.index(str(xv))]=1
                        else: flag=True
                    if flag: out_of+=1; continue
                    if w.endswith('attn_output') and w!=var and False: continue
                    e=np.abs(last[b,1:][:,cw]-tg).max(); worst[w]=max(worst.get(w,0),e)
                    if e>1e-3 and ok: ok=False; bad+=1; badex.append((s,p,v,w,round(float(e),3)))
        print(f'{name:13s} set {var:42s} at {site:5s} cases {tot} mismatching {bad} undefined-aggregates {none} value-outside-labels {out_of} | max err per var', {k:float('%.1e'%v) for k,v in worst.items()}, badex[:3])
for nm in sys.argv[1:] or SPEC: main(nm)
