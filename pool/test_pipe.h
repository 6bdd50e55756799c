#ifndef KO_POOL_TEST_PIPE_H_
#define KO_POOL_TEST_PIPE_H_

#include <gtest/gtest.h>
#include <unistd.h>

namespace ko {

// A pipe on which tasks tell that they run. It is made before the pool.
class TestPipe {
 public:
  TestPipe() { EXPECT_EQ(::pipe(fds_), 0); }
  ~TestPipe() {
    ::close(fds_[0]);
    ::close(fds_[1]);
  }
  int in() const { return fds_[1]; }
  void Await() {
    char byte;
    EXPECT_EQ(::read(fds_[0], &byte, 1), 1);
  }

 private:
  int fds_[2];
};

}  // namespace ko

#endif  // KO_POOL_TEST_PIPE_H_
