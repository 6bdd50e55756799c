#include "ko/manager/process_manager.h"
#include "gtest/gtest.h"
#include <unistd.h>
using namespace ko;
TEST(S, Hello) {
  ProcessManager m; bool ok=false;
  auto st = m.Fork([](Self& s){ if (s.pid()!=getpid()) _exit(9); }).OnSuccess([&]{ok=true;}).Wait();
  ASSERT_TRUE(st.ok()) << st.status(); EXPECT_TRUE(st->ok()) << *st; EXPECT_TRUE(ok);
}
TEST(S, Exit7) { ProcessManager m; auto st=m.Fork([]{return 7;}).Wait(); EXPECT_EQ(*st, ExitStatus::Exited(7)); }
TEST(S, Status) { ProcessManager m; auto st=m.Fork([]{return absl::NotFoundError("no such thing");}).Wait(); EXPECT_EQ(st->ToStatus().message(), "no such thing"); }
TEST(S, Respawn) { ProcessManager m; int errs=0; auto p=m.Spawn([](Self& s){ return s.attempt()<4 ? 1:0; }, {.initial_delay=absl::Milliseconds(1)}); p.OnError([&](const ExitStatus&){++errs;}); auto st=p.Wait(); EXPECT_TRUE(st->ok()); EXPECT_EQ(errs,3); EXPECT_EQ(p.restarts(),3); }
TEST(S, Stop) { ProcessManager m; auto p=m.Spawn([](Self& s){ s.NotifyReady(); while(!s.ShouldShutdown()) s.Sleep(absl::InfiniteDuration()); return 0; }); EXPECT_TRUE(p.WaitReady().ok()); auto st=p.Stop(); EXPECT_TRUE(st->ok())<<*st; }
TEST(S, Many) { ProcessManager m; int n=0; for(int i=0;i<200;i++) m.Fork([](Self& s){ s.Sleep(absl::Milliseconds(50)); }).OnSuccess([&]{++n;}); EXPECT_TRUE(m.Wait().ok()); EXPECT_EQ(n,200);}
TEST(S, Shutdown) { ProcessManager m; bool down=false; m.OnShutdown([&]{down=true;}); for(int i=0;i<3;i++) m.Spawn([](Self& s){ while(!s.ShouldShutdown()) s.Sleep(absl::InfiniteDuration()); return 0; }); kill(getpid(),SIGTERM); EXPECT_TRUE(m.Wait().ok()); EXPECT_TRUE(down); EXPECT_FALSE(m.HasAlive()); }
TEST(S, Nested) { ProcessManager m; auto st=m.Fork([]{ ProcessManager in; auto s=in.Fork([]{return 5;}).Wait(); return *s->exit_code(); }).Wait(); EXPECT_EQ(*st, ExitStatus::Exited(5)); }
TEST(S, Dtor) { ProcessManager m; m.Spawn([](Self& s){ while(true) s.Sleep(absl::InfiniteDuration());}); m.SetStopPolicy({.grace=absl::Milliseconds(50)}); }
