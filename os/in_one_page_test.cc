#include "ko/os/in_one_page.h"

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

namespace ko::os {
namespace {

template <size_t bytes>
void ExpectInOnePage() {
  struct Thing {
    std::array<char, bytes> content;
  };
  std::vector<std::shared_ptr<Thing>> things;
  for (int i = 0; i < 100; ++i) {
    things.push_back(std::allocate_shared<Thing>(InOnePage<Thing>()));
    const auto begin = reinterpret_cast<uintptr_t>(things.back().get());
    const uintptr_t end = begin + bytes - 1;
    EXPECT_LE(end / 4096 - begin / 4096, (bytes - 1) / 4096) << bytes;
  }
}

TEST(InOnePageTest, WhatFitsIntoAPageLiesInOne) {
  ExpectInOnePage<1>();
  ExpectInOnePage<100>();
  ExpectInOnePage<1000>();
  ExpectInOnePage<2000>();
  ExpectInOnePage<3000>();
  ExpectInOnePage<4000>();
}

TEST(InOnePageTest, WhatIsLargerIsThere) {
  const auto large = std::allocate_shared<std::array<char, 100'000>>(InOnePage<std::array<char, 100'000>>());
  large->back() = 1;
  EXPECT_EQ(large->back(), 1);
}

TEST(InOnePageTest, OneKindIsAsGoodAsAnother) {
  EXPECT_EQ(InOnePage<int>(), InOnePage<int>(InOnePage<char>()));
}

}  // namespace
}  // namespace ko::os
