import os,socket,time,sys
n=2048
for size in (32<<10,128<<10):
    l=socket.create_server(('127.0.0.1',0)); a=l.getsockname()
    if os.fork()==0:
        os.sched_setaffinity(0,{1}); c,_=l.accept(); b=bytearray(256<<10); got=0
        while got<n<<20:
            k=c.recv_into(b)
            if not k: break
            got+=k
        os._exit(0)
    os.sched_setaffinity(0,{0}); s=socket.create_connection(a); p=b'x'*size; t=time.process_time(); w=time.time()
    for _ in range((n<<20)//size): s.sendall(p)
    print(size>>10,'KiB pieces: sender CPU us/MiB', round((time.process_time()-t)*1e6/n), 'MiB/s', round(n/(time.time()-w)))
    s.close(); os.wait()
