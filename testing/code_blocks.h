#ifndef KO_TESTING_CODE_BLOCKS_H_
#define KO_TESTING_CODE_BLOCKS_H_

#include <string>
#include <string_view>
#include <vector>

namespace ko::testing {

// What of a Markdown text's blocks of C++ does not stand in `sources`, so that the lines that people read are lines that are
// compiled. A block may leave out what "// ..." stands for; indentation and empty lines do not matter. Pure.
struct CodeBlocks {
  int count = 0;                     // of blocks in all
  std::vector<std::string> missing;  // pieces that stand nowhere
};
CodeBlocks CheckCodeBlocks(std::string_view markdown, std::string_view sources);

}  // namespace ko::testing

#endif  // KO_TESTING_CODE_BLOCKS_H_
