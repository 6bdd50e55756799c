#ifndef KO_BENCHMARKS_REPORTING_STATISTICS_H_
#define KO_BENCHMARKS_REPORTING_STATISTICS_H_

#include <vector>

namespace ko::benchmarks {

// Of values in any order; 0 of none. `quantile` is between 0 and 1; between two values it is interpolated.
double Quantile(std::vector<double> values, double quantile);
double Median(std::vector<double> values);

// Half the distance between the quartiles, as a share of the median: how far repetitions lie apart. 0 of less than two.
double Spread(const std::vector<double>& values);

// The probability that two samples of one distribution differ in location by as much as these: Mann-Whitney's U test, two
// sided, by its normal approximation with the correction for ties (H. B. Mann, D. R. Whitney, "On a Test of Whether one of
// Two Random Variables is Stochastically Larger than the Other", 1947). 1 where there are too few to tell.
double MannWhitneyProbability(const std::vector<double>& a, const std::vector<double>& b);

}  // namespace ko::benchmarks

#endif  // KO_BENCHMARKS_REPORTING_STATISTICS_H_
