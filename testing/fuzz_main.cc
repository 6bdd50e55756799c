// What runs a fuzz target without a fuzzer: the files named by the arguments, then random inputs with a seed of their own,
// made from those files and from nothing, for ten seconds at most. It says how many, and ends as the target does.
#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

constexpr int kRandomInputs = 3000;
constexpr size_t kMaxBytes = 512;
constexpr std::chrono::seconds kLongest(10);  // a target may fork, which takes its time under a sanitizer

void Run(const std::string& input) {
  LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(input.data()), input.size());
}

// One change: a byte, a run that is taken out, or one that is put in.
void Mutate(std::string& input, std::minstd_rand& random) {
  const size_t at = input.empty() ? 0 : random() % input.size();
  switch (random() % 3) {
    case 0:
      if (!input.empty()) input[at] = static_cast<char>(random());
      break;
    case 1:
      input.erase(at, random() % 8);
      break;
    default:
      input.insert(at, random() % 8, static_cast<char>(random()));
  }
}

std::string RandomBytes(std::minstd_rand& random) {
  std::string bytes(random() % kMaxBytes, '\0');
  std::generate(bytes.begin(), bytes.end(), [&random] { return static_cast<char>(random()); });
  return bytes;
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::string> corpus;
  for (int i = 1; i < argc; ++i) {
    std::ifstream file(argv[i], std::ios::binary);
    if (!file) {
      std::cerr << "cannot read " << argv[i] << "\n";
      return 1;
    }
    corpus.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
    Run(corpus.back());
  }
  std::minstd_rand random(1);
  const auto end = std::chrono::steady_clock::now() + kLongest;
  int inputs = 0;
  for (; inputs < kRandomInputs && std::chrono::steady_clock::now() < end; ++inputs) {
    if (corpus.empty() || inputs % 4 == 0) {
      Run(RandomBytes(random));
      continue;
    }
    std::string input = corpus[random() % corpus.size()];
    for (unsigned changes = 1 + random() % 8; changes > 0; --changes) Mutate(input, random);
    Run(input);
  }
  std::cout << corpus.size() << " inputs of the corpus and " << inputs << " random ones\n";
}
