#include "ko/benchmarks/reporting/statistics.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <utility>

namespace ko::benchmarks {

double Quantile(std::vector<double> values, double quantile) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const double place = std::clamp(quantile, 0.0, 1.0) * static_cast<double>(values.size() - 1);
  const auto below = static_cast<size_t>(place);
  const size_t above = std::min(below + 1, values.size() - 1);
  return values[below] + (place - static_cast<double>(below)) * (values[above] - values[below]);
}

double Median(std::vector<double> values) { return Quantile(std::move(values), 0.5); }

double Spread(const std::vector<double>& values) {
  const double median = Median(values);
  if (values.size() < 2 || median == 0) return 0;
  return (Quantile(values, 0.75) - Quantile(values, 0.25)) / 2 / median;
}

double MannWhitneyProbability(const std::vector<double>& a, const std::vector<double>& b) {
  if (a.size() < 3 || b.size() < 3) return 1;
  std::vector<std::pair<double, bool>> all;  // with whether it is one of a
  for (const double value : a) all.emplace_back(value, true);
  for (const double value : b) all.emplace_back(value, false);
  std::sort(all.begin(), all.end());

  double ranks_of_a = 0;
  double ties = 0;
  for (size_t begin = 0; begin < all.size();) {
    size_t end = begin;
    while (end < all.size() && all[end].first == all[begin].first) ++end;
    const double rank = static_cast<double>(begin + end + 1) / 2;  // of all that are equal, from 1 on
    for (size_t i = begin; i < end; ++i) ranks_of_a += all[i].second ? rank : 0;
    const auto count = static_cast<double>(end - begin);
    ties += count * count * count - count;
    begin = end;
  }
  const auto n = static_cast<double>(a.size());
  const auto m = static_cast<double>(b.size());
  const double u = ranks_of_a - n * (n + 1) / 2;
  const double variance = n * m / 12 * (n + m + 1 - ties / ((n + m) * (n + m - 1)));
  if (variance <= 0) return 1;  // all are equal
  const double distance = std::max(0.0, std::abs(u - n * m / 2) - 0.5);
  return std::erfc(distance / std::sqrt(2 * variance));
}

}  // namespace ko::benchmarks
