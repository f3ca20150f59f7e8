// SPDX-License-Identifier: LGPL-2.1-or-later
//
// bench_rates [CLIENT DEVICE]...: what converters of rates do to tones, and what they cost, as JSON for
// rates_report.py. All of them in this one process, times in turn, so that a busy moment meets all.
#include "tests/bench/converters.h"
#include "tests/bench/tones.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>

namespace ringmix::bench {

namespace {

struct Rates {
    unsigned client;
    unsigned device;
};
constexpr Rates usual[] = {{44100, 48000}, {48000, 44100},  {96000, 48000}, {48000, 96000},
                           {88200, 48000}, {192000, 48000}, {32000, 48000}, {22050, 48000},
                           {16000, 48000}, {11025, 48000},  {8000, 48000},  {44099, 48000}};

constexpr std::size_t timed_frames = 480;
constexpr int timed_pieces = 20; // at a time: some work in larger ones inside
constexpr int timed_rounds = 60;
constexpr double slow_ns = 100; // need not be measured as often

// A second of a tone, without its beginning and end.
std::vector<double> converted(Converter& converter, const Rates& rates, double hertz, double seconds)
{
    const auto all =
        converter.convert(sine(hertz, rates.client, static_cast<std::size_t>(rates.client * (seconds + 0.1))));
    const auto begin = static_cast<std::size_t>(rates.device * 0.05);
    const auto end = std::min(all.size() - std::min<std::size_t>(all.size(), rates.device / 50),
                              begin + static_cast<std::size_t>(rates.device * seconds));
    return begin < end ? std::vector<double>(all.begin() + static_cast<std::ptrdiff_t>(begin),
                                             all.begin() + static_cast<std::ptrdiff_t>(end))
                       : std::vector<double>(1);
}

void print_tones(Converter& converter, const Rates& rates)
{
    const double lower = std::min(rates.client, rates.device);
    std::printf("\"tones\": [");
    const char* comma = "";
    for (const double hertz : {1000.0, 10000.0, 18000.0, 0.41 * lower}) {
        if (hertz > 0.4101 * lower)
            continue;
        const Tone tone = measure_tone(converted(converter, rates, hertz, 0.4), hertz, rates.device);
        std::printf("%s{\"hertz\": %.1f, \"level\": %.6f, \"noise\": %.2f, \"cents\": %.7f}", comma, hertz, tone.level,
                    tone.noise, tone.cents);
        comma = ", ";
    }
    std::printf("],\n");
}

// Levels of tones over the whole band of the client, in parts of the lower rate: what passes, and what lands
// somewhere.
void print_response(Converter& converter, const Rates& rates)
{
    const double lower = std::min(rates.client, rates.device);
    const double most = rates.client / 2.0 / lower;
    std::printf("\"response\": [");
    const char* comma = "";
    for (double part = 0.01; part < most * 0.99; part += part < 0.38 || part > 0.58 ? 0.03 : 0.01) {
        const double hertz = part * lower;
        const auto signal = converted(converter, rates, hertz, 0.08);
        // At its own place while the device has one, the whole of it else: it has landed elsewhere.
        const double level =
            hertz < rates.device * 0.499 ? measure_tone(signal, hertz, rates.device).level : level_of(signal);
        std::printf("%s[%.4f, %.6f]", comma, part, level);
        comma = ", ";
    }
    std::printf("],\n");
}

void print_impulse(Converter& converter, const Rates& rates)
{
    std::vector<float> sound(rates.client / 10);
    sound[sound.size() / 2] = static_cast<float>(0.9 * std::min(1.0, static_cast<double>(rates.client) / rates.device));
    const auto out = converter.convert(sound);
    if (out.empty()) {
        std::printf("\"impulse\": [],\n");
        return;
    }
    // Not at the beginning: some converters begin with what is not there yet.
    const auto late = out.begin() + static_cast<std::ptrdiff_t>(out.size() / 4);
    const auto peak =
        std::max_element(late, out.end(), [](double a, double b) { return std::abs(a) < std::abs(b); }) - out.begin();
    const auto side = static_cast<std::ptrdiff_t>(rates.device / 500);
    std::printf("\"impulse\": [");
    const char* comma = "";
    for (auto i = std::max<std::ptrdiff_t>(peak - side, 0); i <= peak + side && i < std::ssize(out); ++i) {
        std::printf("%s[%.5f, %.7f]", comma, 1000.0 * static_cast<double>(i - peak) / rates.device,
                    out[static_cast<std::size_t>(i)]);
        comma = ", ";
    }
    std::printf("],\n");
}

double once(const std::function<void()>& routine)
{
    const auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < timed_pieces; ++i)
        routine();
    return std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - start).count() /
           (timed_frames * timed_pieces);
}

void measure(const Rates& rates, const char* comma)
{
    struct Entry {
        Kind kind;
        std::unique_ptr<Converter> converter;
        std::function<void()> routine;
        double ns = 1e9;
    };
    std::vector<Entry> entries;
    for (const Kind& kind : kinds()) {
        Entry entry{kind, kind.make(rates.client, rates.device), {}};
        if (entry.converter == nullptr)
            continue;
        entry.routine = entry.converter->stereo(timed_frames);
        entries.push_back(std::move(entry));
    }
    for (int round = 0; round < timed_rounds; ++round)
        for (Entry& entry : entries)
            if (entry.routine && (round % 10 == 0 || entry.ns < slow_ns))
                entry.ns = std::min({entry.ns, once(entry.routine), once(entry.routine)});
    std::printf("%s{\"client\": %u, \"device\": %u, \"converters\": [\n", comma, rates.client, rates.device);
    const char* between = "";
    for (Entry& entry : entries) {
        std::printf("%s{\"name\": \"%s\", \"ours\": %s,\n", between, entry.kind.name.c_str(),
                    entry.kind.ours ? "true" : "false");
        print_tones(*entry.converter, rates);
        print_response(*entry.converter, rates);
        print_impulse(*entry.converter, rates);
        const double latency = entry.converter->latency_frames();
        std::printf("\"latency_ms\": %.4f, \"ns\": %.3f}", latency < 0 ? -1.0 : 1000 * latency / rates.device,
                    entry.routine ? entry.ns : -1.0);
        between = ",\n";
    }
    std::printf("]}");
    std::fflush(stdout);
}

} // namespace

} // namespace ringmix::bench

int main(int argc, char** argv)
{
    std::vector<ringmix::bench::Rates> list;
    for (int i = 1; i + 1 < argc; i += 2)
        list.push_back({static_cast<unsigned>(std::atoi(argv[i])), static_cast<unsigned>(std::atoi(argv[i + 1]))});
    if (list.empty())
        list.assign(std::begin(ringmix::bench::usual), std::end(ringmix::bench::usual));
    std::printf("[\n");
    for (std::size_t i = 0; i < list.size(); ++i)
        ringmix::bench::measure(list[i], i == 0 ? "" : ",\n");
    std::printf("\n]\n");
}
