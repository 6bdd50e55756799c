#ifndef KO_BENCHMARKS_PYTHON_H_
#define KO_BENCHMARKS_PYTHON_H_

#include <cstdio>
#include <string>

namespace ko::benchmarks {

// What a command prints as its first line, without the line's end; empty where it fails.
inline std::string FirstLine(const std::string& command) {
  FILE* const output = ::popen((command + " 2>/dev/null").c_str(), "r");
  if (output == nullptr) return "";
  char line[256] = "";
  const bool read = std::fgets(line, sizeof(line), output) != nullptr;
  const bool ended_well = ::pclose(output) == 0;
  std::string text = read && ended_well ? line : "";
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

// "3.13.5"; empty where there is none, or one without multiprocessing.
inline std::string PythonVersion() {
  return FirstLine("python3 -c 'import multiprocessing, platform; print(platform.python_version())'");
}

// What a script without single quotes prints: the seconds that it has taken by its own clock, because starting an
// interpreter is not what is compared. Not above 0 where it fails.
inline double PythonSeconds(const std::string& script) {
  double seconds = 0;
  const std::string line = FirstLine("python3 -c '" + script + "'");
  return std::sscanf(line.c_str(), "%lf", &seconds) == 1 ? seconds : 0;
}

}  // namespace ko::benchmarks

#endif  // KO_BENCHMARKS_PYTHON_H_
