// SPDX-License-Identifier: LGPL-2.1-or-later
//
// bench_mix: what it costs to bring a client's samples into the device's ring, per transfer.
//
//   dmix/default/FRAMES        dmix's plain routine under its semaphore
//   dmix/lockfree/FRAMES       its lock-free routine
//   floor/FRAMES               add, saturate, store
//   read/CLIENTS/FRAMES        load the samples of all clients' lanes
//   post/SIMD/LANE/DEVICE/CLIENTS/FRAMES   a whole post: copy to the lane, publish, Poster::post,
//                              while CLIENTS clients have frames there
//   round/SIMD/LANE/DEVICE/CLIENTS/FRAMES  the same where each client is the next to arrive, so that
//                              half of the others have frames there on average
//   shape/SIMD/LANE/DEVICE/SHAPE/CLIENTS/FRAMES   as post, where SHAPE tells what is done to the sums: hard
//                              (nothing), soft (--clip soft), tpdf (--dither tpdf), both
//   two/...                    two_processes.cpp
//
// One iteration is one transfer of stereo frames, S16 where nothing else is said. A pass goes once
// round the ring; at each place one client after the other does its transfer.
#include "kernels/variants.h"
#include "tests/bench/board.h"
#include "tests/bench/dmix.h"
#include "tests/bench/two_processes.h"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

namespace ringmix::bench {

namespace {

constexpr std::uint32_t client_counts[] = {1, 2, 4, 8, 16, 32, 64};
constexpr std::uint32_t lane_formats[] = {abi::format_s16, abi::format_s24, abi::format_s32, abi::format_float,
                                          abi::format_s32_high};
constexpr std::uint32_t device_formats[] = {abi::format_s16, abi::format_s32};
constexpr std::uint32_t usual_frames = 256;

std::string name_of(std::uint32_t format)
{
    const std::string name(core::format_name(format));
    return format == abi::format_s32_high ? name : name.substr(0, name.find('_'));
}

struct Post {
    const kernels::Table* kernels;
    std::uint32_t lane_format;
    std::uint32_t device_format;
    std::uint32_t clients;
    std::uint32_t frames;
    bool rounds; // each client publishes no more than it has written
    std::uint32_t clip = abi::clip_hard;
    std::uint32_t dither = abi::dither_none;
};

void run_post(benchmark::State& state, const Post& post)
{
    kernels::use(*post.kernels);
    const Board board(post.device_format, post.lane_format, post.clients, post.clip, post.dither);
    std::vector<std::unique_ptr<Client>> clients;
    for (std::uint32_t i = 0; i < post.clients; ++i)
        clients.push_back(std::make_unique<Client>(board, i));
    std::vector<std::byte> samples(std::size_t{post.frames} * channels * core::sample_bytes(post.lane_format));
    fill_with_noise(samples.data(), post.lane_format, std::size_t{post.frames} * channels, 99);

    std::uint64_t frame = 0;
    std::uint32_t next = 0;
    const std::uint32_t ahead = post.rounds ? post.frames : ring_frames;
    for (std::uint32_t i = 0; i < post.clients && !post.rounds; ++i)
        clients[i]->write(samples.data(), 0, post.frames, ring_frames);
    for (auto _ : state) {
        clients[next]->write(samples.data(), frame, post.frames, frame + ahead);
        if (++next == post.clients) {
            next = 0;
            frame += post.frames;
        }
    }
    kernels::use(*kernels::usable()[0]);
}

enum class Routine { by_default, lock_free, floor };

void run_dmix(benchmark::State& state, Routine routine, std::uint32_t frames)
{
    constexpr std::size_t ring_samples = std::size_t{ring_frames} * channels;
    std::vector<std::int16_t> device(ring_samples);
    std::vector<std::int32_t> sums(ring_samples);
    std::vector<std::int16_t> from(ring_samples);
    fill_with_noise(reinterpret_cast<std::byte*>(from.data()), abi::format_s16, ring_samples, 1);
    const Semaphore semaphore;
    const std::size_t count = std::size_t{frames} * channels;
    std::size_t at = 0;
    for (auto _ : state) {
        const Areas areas{&device[at], &sums[at], &from[at], 2, 4, 2};
        if (routine == Routine::lock_free) {
            mix_lock_free(areas, count);
        } else if (routine == Routine::floor) {
            mix_floor(areas, count);
        } else {
            semaphore.down();
            mix_plain(areas, count);
            semaphore.up();
        }
        benchmark::ClobberMemory();
        at += count;
        if (at + count > ring_samples) {
            at = 0;
            state.PauseTiming();
            std::fill(device.begin(), device.end(), std::int16_t{0}); // played
            std::fill(sums.begin(), sums.end(), 0);                   // no dmix does, but they shall not overflow
            state.ResumeTiming();
        }
    }
}

// As often at each place as there are clients, as run_post() does.
void run_read(benchmark::State& state, std::uint32_t clients)
{
    const Board board(abi::format_s16, abi::format_s16, clients);
    constexpr std::size_t frame_bytes = channels * sizeof(std::int16_t);
    std::vector<const std::byte*> lanes(clients);
    std::uint64_t frame = 0;
    std::uint32_t next = 0;
    for (auto _ : state) {
        for (std::uint32_t i = 0; i < clients; ++i) {
            const abi::Slot& slot = board.slot(i);
            const std::uint64_t cell = (frame + slot.stream.phase.load()) % ring_frames;
            lanes[i] = board.view().arena + slot.config.lane_offset.load() +
                       std::min<std::uint64_t>(cell, ring_frames - usual_frames) * frame_bytes;
        }
        read_lanes(lanes.data(), clients, std::size_t{usual_frames} * channels);
        if (++next == clients) {
            next = 0;
            frame += usual_frames;
        }
    }
}

benchmark::internal::Benchmark* usual(benchmark::internal::Benchmark* benchmark)
{
    return benchmark->Unit(benchmark::kNanosecond);
}

void register_post(const char* kind, const Post& post, const char* shape = "")
{
    const std::string name = std::string(kind) + '/' + post.kernels->name + '/' + name_of(post.lane_format) + '/' +
                             name_of(post.device_format) + '/' + shape + std::to_string(post.clients) + '/' +
                             std::to_string(post.frames);
    usual(benchmark::RegisterBenchmark(name.c_str(), [post](benchmark::State& state) { run_post(state, post); }));
}

void register_shapes()
{
    const struct {
        const char* name;
        std::uint32_t clip, dither;
    } shapes[] = {{"hard/", abi::clip_hard, abi::dither_none},
                  {"soft/", abi::clip_soft, abi::dither_none},
                  {"tpdf/", abi::clip_hard, abi::dither_tpdf},
                  {"both/", abi::clip_soft, abi::dither_tpdf}};
    const struct {
        std::uint32_t lane, device;
    } formats[] = {{abi::format_s16, abi::format_s16},
                   {abi::format_s32, abi::format_s16},
                   {abi::format_float, abi::format_s32},
                   {abi::format_float, abi::format_float}};
    for (const kernels::Table* const* variant = kernels::usable(); *variant != nullptr; ++variant)
        for (const auto& [lane, device] : formats)
            for (const auto& [name, clip, dither] : shapes)
                for (const std::uint32_t clients : {1u, 8u})
                    if (device != abi::format_float || dither == abi::dither_none)
                        register_post("shape", {*variant, lane, device, clients, usual_frames, false, clip, dither},
                                      name);
}

void register_dmix()
{
    const struct {
        const char* name;
        Routine routine;
    } routines[] = {
        {"dmix/default", Routine::by_default}, {"dmix/lockfree", Routine::lock_free}, {"floor", Routine::floor}};
    for (const auto& [name, routine] : routines)
        for (const std::uint32_t frames : {64u, 256u, 1024u}) {
            if (routine == Routine::floor && !can_mix_floor())
                continue;
            const std::string full = std::string(name) + '/' + std::to_string(frames);
            usual(benchmark::RegisterBenchmark(
                full.c_str(), [=, r = routine](benchmark::State& state) { run_dmix(state, r, frames); }));
        }
}

void register_posts()
{
    for (const std::uint32_t clients : client_counts)
        if (can_mix_floor())
            usual(benchmark::RegisterBenchmark(("read/" + std::to_string(clients) + "/256").c_str(),
                                               [=](benchmark::State& state) { run_read(state, clients); }));
    for (const kernels::Table* const* variant = kernels::usable(); *variant != nullptr; ++variant)
        for (const std::uint32_t lane : lane_formats)
            for (const std::uint32_t device : device_formats)
                for (const std::uint32_t clients : client_counts)
                    register_post("post", {*variant, lane, device, clients, usual_frames, false});
    const kernels::Table* best = kernels::usable()[0];
    for (const std::uint32_t lane : lane_formats)
        for (const std::uint32_t clients : client_counts)
            register_post("round", {best, lane, abi::format_s16, clients, usual_frames, true});
    for (const std::uint32_t frames : {64u, 1024u})
        for (const std::uint32_t clients : client_counts)
            register_post("post", {best, abi::format_s16, abi::format_s16, clients, frames, false});
}

} // namespace

} // namespace ringmix::bench

int main(int argc, char** argv)
{
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv))
        return 2;
    ringmix::bench::register_dmix();
    ringmix::bench::register_posts();
    ringmix::bench::register_shapes();
    ringmix::bench::register_two_processes();
    benchmark::RunSpecifiedBenchmarks();
    return 0;
}
