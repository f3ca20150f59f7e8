// SPDX-License-Identifier: LGPL-2.1-or-later
//
// margin [SOCKET [SECONDS]]: what the safety margin is there for, measured on a running instance.
//
// A client may still change a frame that plays `margin` later. That goes well if its store has landed
// before the device fetches the frame, so the margin must be longer than these together:
//
//   write   from reading the clock to the last store of a write (of one block, 64 frames): how long a
//           client that the scheduler leaves alone needs. Some are interrupted: see the quantiles.
//   behind  how far the device can be beyond the extrapolated position, at the moment at which the next
//           snapshot tells the truth
//   fetch   what the device has taken out of the ring already: part of the margin that the server gives
//           to devices of which it knows, and not to be measured from here
//
// One JSON object on stdout, in frames. Who is late in spite of all spoils his own frames only.

#include "client/attachment.h"
#include "client/stream.h"
#include "core/format.h"
#include "core/sync_info.h"
#include "os/timer.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <vector>

namespace {

using namespace ringmix;

constexpr std::uint32_t frames = abi::block_frames;
constexpr std::uint32_t buffer_frames = 4096;

struct Figures {
    std::vector<std::int64_t> write_ns;
    std::vector<std::int64_t> behind; // frames, for each snapshot; negative: the device was not so far yet
};

// How far the last snapshot's extrapolation to the newest one's time was from the truth.
void compare(const core::SyncSnapshot& last, const core::SyncSnapshot& newest, Figures& figures)
{
    const auto told = static_cast<std::int64_t>(newest.frame);
    figures.behind.push_back(told - static_cast<std::int64_t>(core::frame_at(last, newest.time_ns)));
}

Figures measure(client::Attachment& attachment, double seconds)
{
    client::Stream stream(attachment);
    std::vector<std::byte> silence(std::size_t{buffer_frames} * 4);
    const client::ChannelArea areas[2] = {{silence.data(), 4}, {silence.data() + 2, 4}};
    core::ChannelMap map;
    map.fill(abi::no_channel);
    map[0] = 0;
    map[1] = attachment.geometry().channels > 1 ? 1 : abi::no_channel;
    stream.configure(abi::format_s16, 2, buffer_frames, map);
    stream.prepare();
    stream.write(0, areas, buffer_frames);
    stream.start();

    Figures figures;
    core::SyncSnapshot last, newest;
    core::read_newest(attachment.view().board->sync, last);
    const std::int64_t end = os::monotonic_ns() + static_cast<std::int64_t>(seconds * 1e9);
    while (os::monotonic_ns() < end) {
        const std::int64_t begin = os::monotonic_ns();
        // Nearest to the device: replaces what is queued there.
        const std::uint64_t position = static_cast<std::uint64_t>(stream.horizon_position()) + frames;
        stream.write(position, areas, frames);
        figures.write_ns.push_back(os::monotonic_ns() - begin);
        stream.write(position + frames, areas, buffer_frames - 2 * frames); // so that there is something queued
        if (core::read_newest(attachment.view().board->sync, newest) && newest.time_ns != last.time_ns) {
            if (newest.generation == last.generation)
                compare(last, newest, figures);
            last = newest;
        }
        os::sleep_ns(300'000);
    }
    stream.drop();
    stream.release();
    return figures;
}

double quantile(const std::vector<std::int64_t>& sorted, double part)
{
    return sorted.empty()
               ? 0
               : static_cast<double>(sorted[static_cast<std::size_t>(part * static_cast<double>(sorted.size() - 1))]);
}

} // namespace

int main(int argc, char** argv)
{
    try {
        client::Address address;
        if (argc > 1)
            address.socket = argv[1];
        client::Attachment attachment(address);
        Figures figures = measure(attachment, argc > 2 ? std::atof(argv[2]) : 5);
        std::sort(figures.write_ns.begin(), figures.write_ns.end());
        std::sort(figures.behind.begin(), figures.behind.end());
        const double frame_ns = 1e9 / attachment.geometry().rate;
        std::printf("{\"margin_frames\": %u, \"rate\": %u, \"period_frames\": %u, \"writes\": %zu, "
                    "\"write_median\": %.3f, \"write_99\": %.3f, \"write_99.9\": %.3f, \"write_max\": %.1f, "
                    "\"snapshots\": %zu, \"behind_median\": %.0f, \"behind_99\": %.0f, \"behind_max\": %.0f}\n",
                    attachment.geometry().margin_frames, attachment.geometry().rate,
                    attachment.geometry().period_frames, figures.write_ns.size(),
                    quantile(figures.write_ns, 0.5) / frame_ns, quantile(figures.write_ns, 0.99) / frame_ns,
                    quantile(figures.write_ns, 0.999) / frame_ns, quantile(figures.write_ns, 1) / frame_ns,
                    figures.behind.size(), quantile(figures.behind, 0.5), quantile(figures.behind, 0.99),
                    quantile(figures.behind, 1));
        return 0;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "margin: %s\n", error.what());
        return 1;
    }
}
