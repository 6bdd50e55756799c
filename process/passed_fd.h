#ifndef KO_PROCESS_PASSED_FD_H_
#define KO_PROCESS_PASSED_FD_H_

#include <array>
#include <cstddef>
#include <optional>
#include <tuple>
#include <utility>
#include <vector>

namespace ko {

// An open descriptor as an argument of ForkServer::Fork: the child gets one of its own for the same open file, close-on-exec
// and with its number in `fd`, which the function owns. The caller keeps its own.
//
// May stand alone and in std::vector, std::optional, std::pair and std::tuple of arguments; inside another struct it is but
// a number.
struct PassedFd {
  int fd = -1;
};

namespace internal {

// Calls `visit` with each PassedFd in an argument.
template <class T, class Visit>
void VisitPassedFds(T&, Visit&) {}

template <class Visit>
void VisitPassedFds(PassedFd& fd, Visit& visit) {
  visit(fd);
}

template <class T, class Visit>
void VisitPassedFds(std::vector<T>& values, Visit& visit);
template <class T, class Visit>
void VisitPassedFds(std::optional<T>& value, Visit& visit);
template <class A, class B, class Visit>
void VisitPassedFds(std::pair<A, B>& values, Visit& visit);
template <class... T, class Visit>
void VisitPassedFds(std::tuple<T...>& values, Visit& visit);

template <class T, class Visit>
void VisitPassedFds(std::vector<T>& values, Visit& visit) {
  if constexpr (!std::is_arithmetic_v<T>) {
    for (T& value : values) VisitPassedFds(value, visit);
  }
}

template <class T, class Visit>
void VisitPassedFds(std::optional<T>& value, Visit& visit) {
  if (value.has_value()) VisitPassedFds(*value, visit);
}

template <class A, class B, class Visit>
void VisitPassedFds(std::pair<A, B>& values, Visit& visit) {
  VisitPassedFds(values.first, visit);
  VisitPassedFds(values.second, visit);
}

template <class... T, class Visit>
void VisitPassedFds(std::tuple<T...>& values, Visit& visit) {
  std::apply([&visit](T&... each) { (VisitPassedFds(each, visit), ...); }, values);
}

}  // namespace internal

}  // namespace ko

#endif  // KO_PROCESS_PASSED_FD_H_
