#include "ko/ipc/job_queue.h"
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <sys/wait.h>
#include <unistd.h>
using Clock=std::chrono::steady_clock;
int main(){
  int n=1000000;
  auto q=*ko::SharedJobQueue::Create();
  std::string body(64,'x');
  for(int r=0;r<3;r++){
  auto t=Clock::now();
  for(int i=0;i<n;i++){ if(!q->Publish(body).ok())abort(); auto j=q->Receive(); if(!j.ok())abort(); if(!j->Ack().ok())abort();}
  double s=std::chrono::duration<double>(Clock::now()-t).count();
  printf("one process: %.0f jobs/s\n",n/s);
  }
  { // deep
  ko::SharedJobQueue::Options o; o.capacity_bytes=size_t(n)*128;
  auto d=*ko::SharedJobQueue::Create(o);
  auto t=Clock::now();
  for(int i=0;i<n;i++) if(!d->Publish(body).ok())abort();
  double s1=std::chrono::duration<double>(Clock::now()-t).count();
  t=Clock::now();
  for(int i=0;i<n;i++){auto j=d->Receive(); if(!j->Ack().ok())abort();}
  double s2=std::chrono::duration<double>(Clock::now()-t).count();
  printf("deep: publish %.0f/s receive+ack %.0f/s\n",n/s1,n/s2);
  }
  for(int r=0;r<3;r++){
  auto t=Clock::now();
  pid_t p=fork();
  if(p==0){ for(int i=0;i<n;i++) if(!q->Publish(body,absl::InfiniteDuration()).ok())abort(); _exit(0);}
  for(int i=0;i<n;i++){auto j=q->Receive(); if(!j.ok())abort(); if(!j->Ack().ok())abort();}
  double s=std::chrono::duration<double>(Clock::now()-t).count();
  waitpid(p,0,0);
  printf("two processes: %.0f jobs/s\n",n/s);
  }
  auto st=*q->Stats(); printf("%lu %lu %lu used %zu\n",st.published,st.acked,st.redelivered,st.used_bytes);
  { // round trip
  auto a=*ko::SharedJobQueue::Create(), b=*ko::SharedJobQueue::Create();
  int m=50000; pid_t p=fork();
  if(p==0){for(int i=0;i<m;i++){auto j=a->Receive();j->Ack().IgnoreError();b->Publish(body).IgnoreError();}_exit(0);}
  auto t=Clock::now();
  for(int i=0;i<m;i++){a->Publish(body).IgnoreError();auto j=b->Receive();j->Ack().IgnoreError();}
  double s=std::chrono::duration<double>(Clock::now()-t).count(); waitpid(p,0,0);
  printf("round trip %.2f us\n",s/m*1e6);
  }
}
