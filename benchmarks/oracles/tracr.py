"""Oracle for the four tracr fixtures: exact forward, RASP interpreter, variable read-out, edges. numpy only."""
import os
import itertools, json, sys
import numpy as np
from fixture_files import load
F=os.path.join(os.environ['FLYROOM_FIXTURES'],'tracr','')
class Net:
    def __init__(s,name,dt=np.float32):
        s.J=json.load(open(F+name+'.json')); W,_=load(F+name+'.safetensors')
        s.W={k:v.astype(dt) for k,v in W.items()}; s.L=s.J['residual_labels']; s.nl=s.J['config']['num_layers']
        s.ks=s.J['config']['key_size']; s.dt=dt; s.enc=s.J['input_encoding']
        s.E=s.W['token_embed/embeddings']; s.P=s.W['pos_embed/embeddings']
        s.senders=['embed','pos']+[f'{c}{i}' for i in range(s.nl) for c in 'am']
        s.receivers=[r for i in range(s.nl) for r in (f'q{i}',f'k{i}',f'v{i}',f'm{i}')]+['out']
    def w(s,k): return s.W['transformer/'+k]
    def fwd(s,tok,edge=None,donor=None):
        """tok [B,T] ids with BOS first. edge=(sender,receiver): receiver sees donor's sender value instead.
        returns dict: sender outputs, and 'resid' list, 'out'."""
        B,T=tok.shape; o={'embed':s.E[tok],'pos':np.broadcast_to(s.P[:T],(B,T,s.P.shape[1]))}
        x=o['embed']+o['pos']; R=[('embed',x)]
        def inp(r):
            if edge is not None and edge[1]==r: return x+(donor[edge[0]]-o[edge[0]])
            return x
        lin=lambda h,k: h@s.w(k+'/w')+s.w(k+'/b')
        o['pattern']=[]
        for i in range(s.nl):
            p=f'layer_{i}/attn/'
            q=lin(inp(f'q{i}'),p+'query'); k=lin(inp(f'k{i}'),p+'key'); v=lin(inp(f'v{i}'),p+'value')
            a=q@k.swapaxes(1,2)/np.sqrt(s.ks).astype(s.dt); a=a-a.max(-1,keepdims=True); a=np.exp(a); a/=a.sum(-1,keepdims=True)
            o['pattern'].append(a); o[f'a{i}']=lin(a@v,p+'linear'); x=x+o[f'a{i}']; R.append((f'a{i}',x))
            p=f'layer_{i}/mlp/'
            o[f'm{i}']=lin(np.maximum(lin(inp(f'm{i}'),p+'linear_1'),0),p+'linear_2'); x=x+o[f'm{i}']; R.append((f'm{i}',x))
        o['resid']=R; o['out']=inp('out'); return o
def cols(n,var):
    l=[(i,t.split(':',1)[1] if ':' in t else None) for i,t in enumerate(n.L) if t.split(':',1)[0]==var]
    return [i for i,_ in l],[t for _,t in l]
# --- interpreter: name -> (per-sequence list of tokens without BOS) -> dict var -> list (None = undefined)
def interp(name,s):
    n=len(s); v={'tokens':list(s),'indices':list(range(n)),'one':[1.]*n}
    if name=='hist':
        h=[s.count(t) for t in s]; v['hist_12']=h; v['hist_12_selector_width_attn_output']=[1/(1+x) for x in h]; out='hist_12'
    elif name=='reverse':
        v['length_5']=[n]*n; v['length_5_selector_width_attn_output']=[1/(1+n)]*n
        v['opp_idx_4']=[n-i for i in range(n)]; v['opp_idx-1_3']=[n-i-1 for i in range(n)]; v['reverse_1']=[s[n-1-i] for i in range(n)]; out='reverse_1'
    elif name=='sort_unique':
        tp=[sum(int(u)<int(t) for u in s) for t in s]; v['target_pos_16']=tp
        v['target_pos_16_selector_width_attn_output']=[1/(1+x) for x in tp]
        v['sort_14']=[(lambda c: c[0] if c else None)([t for t,p in zip(s,tp) if p==i]) for i in range(n)]; out='sort_14'
    else:
        m=[float(t=='x') for t in s]; v['map_11']=m; v['frac_prevs_9']=[sum(m[:i+1])/(i+1) for i in range(n)]; out='frac_prevs_9'
    return v,out
def numeric(var): return var=='one' or var.endswith('_attn_output') or var in('map_11','frac_prevs_9')
def write_site(n,var):  # first site whose output touches the variable's columns
    c,_=cols(n,var)
    if n.E[:,c].any(): return 'embed'
    if n.P[:,c].any(): return 'pos'
    w=[]
    for i in range(n.nl):
        if n.w(f'layer_{i}/attn/linear/w')[:,c].any(): w.append(f'a{i}')
        if n.w(f'layer_{i}/mlp/linear_2/w')[:,c].any(): w.append(f'm{i}')
    return '+'.join(w)
def inputs(n,T):
    V=n.J['vocab']; return list(itertools.product(V,repeat=T))
def main(name):
    print('=====',name)
    for dt in (np.float32,np.float64):
        n=Net(name,dt); vars_=sorted({l.split(':')[0] for l in n.L}); mx=n.J['max_seq_len']
        err={}; bos={}; wrong=tot=wrong_u=tot_u=0; undef=0; und_max=0.; margins=[]
        for T in range(1,mx+1):
            I=inputs(n,T); tok=np.array([[n.enc['BOS']]+[n.enc[t] for t in s] for s in I]); o=n.fwd(tok)
            iv=[interp(name,list(s)) for s in I]; outv=iv[0][1]
            names=[r for r,_ in o['resid']]
            for var in vars_:
                c,lab=cols(n,var); ws=write_site(n,var); first=ws.split('+')[0]
                if first=='pos': first='embed'
                tgt=np.zeros((len(I),T,len(c))); ok=np.ones((len(I),T),bool)
                for b,(v,_) in enumerate(iv):
                    for t,val in enumerate(v[var]):
                        if numeric(var): tgt[b,t,0]=val
                        elif val is None: ok[b,t]=False
                        else: tgt[b,t,lab.index(str(val))]=1
                dup=np.array([len(set(s))<len(s) for s in I])
                for j,(r,x) in enumerate(o['resid']):
                    e=np.abs(x[:,1:][...,c]-tgt)
                    if j<names.index(first): key='before'; val=np.abs(x[...,c]).max()
                    else: key='after '+r; val=e[ok].max() if ok.any() else 0
                    err[var,key]=max(err.get((var,key),0),val)
                    bos[var,r]=max(bos.get((var,r),0),np.abs(x[:,0][...,c]).max())
                if var==outv:
                    x=o['out'][:,1:][...,c]
                    if not numeric(var):
                        am=x.argmax(-1); wr=(am!=tgt.argmax(-1)); wrong+=(wr&ok).sum(); tot+=ok.sum()
                        wrong_u+=(wr&ok)[~dup].sum(); tot_u+=(~dup).sum()*T; undef+=(~ok).sum()
                        if (~ok).any(): und_max=max(und_max,np.abs(x[~ok]).max())
                        so=np.sort(x[ok],-1); margins.append((so[:,-1]-so[:,-2]).min())
        print(dt.__name__,'inputs lengths 1..',mx,'output var',outv)
        if margins: print('  argmax wrong',wrong,'of',tot,'| unique-token inputs wrong',wrong_u,'of',tot_u,'| undefined (None) positions',undef,'max |value| there',und_max,'min margin',min(margins))
        for var in vars_:
            print('  %-42s written by %-8s before %.1e | '%(var,write_site(n,var),err.get((var,'before'),0)), ' '.join('%s %.1e'%(k[1][6:],e) for k,e in err.items() if k[0]==var and k[1]!='before'),'| BOS max', ' '.join('%s %.1e'%(k[1],e) for k,e in bos.items() if k[0]==var))
    # edges
    n=Net(name,np.float64); 
    W={}
    for s in n.senders:
        M=n.E if s=='embed' else n.P if s=='pos' else n.w(f'layer_{s[1:]}/attn/linear/w') if s[0]=='a' else n.w(f'layer_{s[1:]}/mlp/linear_2/w')
        W[s]=set(np.flatnonzero(M.any(0)))
    outv=interp(name,list(inputs(n,1)[0]))[1]; oc=cols(n,outv)[0]
    Rd={'out':set(oc)}
    for i in range(n.nl):
        for r,k in (('q','attn/query'),('k','attn/key'),('v','attn/value'),('m','mlp/linear_1')): Rd[f'{r}{i}']=set(np.flatnonzero(n.w(f'layer_{i}/{k}/w').any(1)))
    order={s:(-1 if s in('embed','pos') else 2*int(s[1:])+(s[0]=='m')) for s in n.senders}
    rorder={r:(99 if r=='out' else 2*int(r[1:])+(r[0]=='m')) for r in n.receivers}
    rng=np.random.default_rng(0)
    print('  zero layers:',[p for i in range(n.nl) for p in (f'a{i}',f'm{i}') if not W[p]])
    for s in n.senders:
        for r in n.receivers:
            if order[s]>=rorder[r]: continue
            sh=W[s]&Rd[r]
            if not sh: continue
            ch=tot=zc=0; mxd=0
            for T in range(1,n.J['max_seq_len']+1):
                I=inputs(n,T); I=[I[j] for j in (rng.permutation(len(I))[:400])]
                if name=='sort_unique': I=[s_ for s_ in I if len(set(s_))==T]
                if not I: continue
                tok=np.array([[n.enc['BOS']]+[n.enc[t] for t in q] for q in I]); a=n.fwd(tok); d=n.fwd(tok[rng.permutation(len(I))])
                y=n.fwd(tok,(s,r),d)['out'][:,1:][...,oc]; z=n.fwd(tok,(s,r),{s:np.zeros_like(a[s])})['out'][:,1:][...,oc]
                y0=a['out'][:,1:][...,oc]; ch+=(np.abs(y-y0).max((1,2))>1e-3).sum(); zc+=(np.abs(z-y0).max((1,2))>1e-3).sum(); tot+=len(I); mxd=max(mxd,np.abs(y-y0).max())
            print('  edge %-6s-> %-4s via %s | resample (same length) changes output on %.3f of inputs (max %.2g), zero on %.3f'%(s,r,','.join(sorted({n.L[i].split(":")[0]+(":BOS" if n.L[i]=="tokens:BOS" else "") for i in sh})),ch/tot,mxd,zc/tot))
    # example
    t=n.J['example_in']; o=n.fwd(np.array([[n.enc[q] for q in t]])); x=o['out'][0][:,oc]
    print('  example', t, n.J['example_out'], np.round(x[1:],7).argmax(-1).tolist() if not numeric(outv) else x[1:,0])
for nm in sys.argv[1:] or ['hist','frac_prevs_x','sort_unique','reverse']: main(nm)
