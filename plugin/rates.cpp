// SPDX-License-Identifier: LGPL-2.1-or-later

#include "plugin/rates.h"

#include <algorithm>
#include <charconv>
#include <numeric>

namespace ringmix::plugin {

namespace {

bool parse_rate(std::string_view text, unsigned& rate)
{
    const char* const end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data(), end, rate);
    return error == std::errc{} && stop == end && rate >= lowest_rate && rate <= highest_rate;
}

bool parse_range(std::string_view text, RateRange& range)
{
    const std::size_t dash = text.find('-');
    if (dash == std::string_view::npos)
        return parse_rate(text, range.first) && parse_rate(text, range.last);
    return parse_rate(text.substr(0, dash), range.first) && parse_rate(text.substr(dash + 1), range.last) &&
           range.first <= range.last;
}

// In order, those that meet as one.
std::vector<RateRange> joined(std::vector<RateRange> ranges)
{
    std::sort(ranges.begin(), ranges.end(), [](const RateRange& a, const RateRange& b) { return a.first < b.first; });
    std::vector<RateRange> result;
    for (const RateRange& range : ranges)
        if (!result.empty() && range.first <= result.back().last + 1)
            result.back().last = std::max(result.back().last, range.last);
        else
            result.push_back(range);
    return result;
}

} // namespace

bool parse_rates(std::string_view text, std::vector<RateRange>& rates)
{
    constexpr std::string_view space = " \t\n";
    rates.clear();
    if (text == "device")
        return true;
    for (std::size_t begin = 0; (begin = text.find_first_not_of(space, begin)) != std::string_view::npos;) {
        const std::size_t end = std::min(text.find_first_of(space, begin), text.size());
        RateRange range{};
        if (!parse_range(text.substr(begin, end - begin), range))
            return false;
        rates.push_back(range);
        begin = end;
    }
    return !rates.empty();
}

int offer_rates(snd_pcm_ioplug_t& io, std::vector<RateRange> rates, unsigned device_rate)
{
    rates.push_back({device_rate, device_rate});
    rates = joined(std::move(rates));
    if (rates.size() == 1)
        return snd_pcm_ioplug_set_param_minmax(&io, SND_PCM_IOPLUG_HW_RATE, rates[0].first, rates[0].last);
    std::vector<unsigned> list; // libasound knows one range, or single values
    for (const auto& [first, last] : rates) {
        list.resize(list.size() + last - first + 1);
        std::iota(list.end() - (last - first + 1), list.end(), first);
    }
    return snd_pcm_ioplug_set_param_list(&io, SND_PCM_IOPLUG_HW_RATE, static_cast<unsigned>(list.size()), list.data());
}

} // namespace ringmix::plugin
