"""Minimal safetensors reader (numpy only)."""
import json, struct, numpy as np
DT={'F32':np.float32,'F64':np.float64,'I64':np.int64,'I32':np.int32,'BOOL':np.bool_,'U8':np.uint8,'F16':np.float16}
def load(path):
    b=open(path,'rb').read(); n=struct.unpack('<Q',b[:8])[0]; h=json.loads(b[8:8+n]); meta=h.pop('__metadata__',None); o={}
    for k,v in h.items():
        s,e=v['data_offsets']; o[k]=np.frombuffer(b[8+n+s:8+n+e],dtype=DT[v['dtype']]).reshape(v['shape'])
    return o,meta
if __name__=='__main__':
    import sys
    for p in sys.argv[1:]:
        o,m=load(p); print(p,m)
        for k,v in o.items(): print('  ',k,v.shape,v.dtype,float(np.abs(v).max()) if v.size else None)
