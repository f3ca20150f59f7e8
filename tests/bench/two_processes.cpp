// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tests/bench/two_processes.h"

#include "tests/bench/board.h"
#include "tests/bench/dmix.h"

#include <benchmark/benchmark.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <system_error>
#include <vector>

namespace ringmix::bench {

namespace {

constexpr std::uint32_t frames = 256;
constexpr std::size_t transfer_samples = std::size_t{frames} * channels;
constexpr unsigned transfers = 100'000;

using Clock = std::chrono::steady_clock;
using Transfer = std::function<void(unsigned number)>;

int usable_cores()
{
    cpu_set_t all;
    return sched_getaffinity(0, sizeof all, &all) == 0 ? CPU_COUNT(&all) : 1;
}

// Nor shall anybody else run there: a process that is not running competes with nobody. Where that is
// not allowed, a busy machine makes the figures meaningless.
void pin_to(unsigned core)
{
    const sched_param lowest{1};
    sched_setscheduler(0, SCHED_FIFO, &lowest);
    cpu_set_t all;
    cpu_set_t one;
    CPU_ZERO(&one);
    if (sched_getaffinity(0, sizeof all, &all) != 0)
        return;
    for (unsigned cpu = 0; cpu < CPU_SETSIZE; ++cpu)
        if (CPU_ISSET(cpu, &all) && core-- == 0)
            CPU_SET(cpu, &one);
    if (CPU_COUNT(&one) == 1)
        sched_setaffinity(0, sizeof one, &one);
}

struct Meeting {
    std::atomic<unsigned> arrived;
    std::atomic<unsigned> finished;
    std::atomic<double> seconds[2];
};

// In a process of its own: goes on until all have been measured, so that nobody is ever alone.
void measure(Meeting& meeting, unsigned self, unsigned processes, const Transfer& transfer)
{
    pin_to(self);
    unsigned number = 0;
    for (; number < 1000; ++number)
        transfer(number);
    meeting.arrived.fetch_add(1);
    while (meeting.arrived.load() < processes) {
    }
    const Clock::time_point begin = Clock::now();
    for (const unsigned end = number + transfers; number < end; ++number)
        transfer(number);
    meeting.seconds[self].store(std::chrono::duration<double>(Clock::now() - begin).count() / transfers);
    meeting.finished.fetch_add(1);
    while (meeting.finished.load() < processes)
        transfer(number++);
}

// Seconds per transfer, the mean over the processes.
double measure_all(unsigned processes, const std::function<Transfer(unsigned)>& client)
{
    const Shared memory(sizeof(Meeting));
    auto& meeting = *new (memory.data()) Meeting{};
    std::vector<pid_t> children;
    for (unsigned i = 0; i < processes; ++i) {
        const pid_t child = fork();
        if (child < 0)
            throw std::system_error(errno, std::generic_category(), "fork");
        if (child == 0) {
            measure(meeting, i, processes, client(i));
            _exit(0);
        }
        children.push_back(child);
    }
    for (const pid_t child : children)
        waitpid(child, nullptr, 0);
    double sum = 0;
    for (unsigned i = 0; i < processes; ++i)
        sum += meeting.seconds[i].load();
    return sum / processes;
}

std::size_t place(unsigned number, bool round) { return round ? number % (ring_frames / frames) : 0; }

void run_posts(benchmark::State& state, unsigned processes, bool round)
{
    const Board board(abi::format_s16, abi::format_s16, processes);
    std::vector<std::byte> samples(transfer_samples * sizeof(std::int16_t));
    fill_with_noise(samples.data(), abi::format_s16, transfer_samples, 99);
    for (auto _ : state)
        state.SetIterationTime(measure_all(processes, [&](unsigned self) -> Transfer {
            return [&, client = std::make_shared<Client>(board, self)](unsigned number) {
                const std::uint64_t frame = place(number, round) * frames;
                client->write(samples.data(), frame, frames, frame + ring_frames);
            };
        }));
}

void run_sums(benchmark::State& state, unsigned processes, bool round, bool waiting)
{
    constexpr std::size_t ring_samples = std::size_t{ring_frames} * channels;
    const Shared device(ring_samples * sizeof(std::int16_t));
    const Shared sums(ring_samples * sizeof(std::int32_t));
    std::vector<std::int16_t> from(transfer_samples);
    fill_with_noise(reinterpret_cast<std::byte*>(from.data()), abi::format_s16, transfer_samples, 1);
    const Semaphore semaphore;
    for (auto _ : state)
        state.SetIterationTime(measure_all(processes, [&](unsigned) -> Transfer {
            return [&](unsigned number) {
                const std::size_t at = place(number, round) * transfer_samples;
                const Areas areas{reinterpret_cast<std::int16_t*>(device.data()) + at,
                                  reinterpret_cast<std::int32_t*>(sums.data()) + at,
                                  from.data(),
                                  2,
                                  4,
                                  2};
                if (!waiting)
                    return mix_floor(areas, transfer_samples);
                semaphore.down();
                mix_plain(areas, transfer_samples);
                semaphore.up();
            };
        }));
}

void run_dmix(benchmark::State& state, unsigned processes, bool round) { run_sums(state, processes, round, true); }

void run_floor(benchmark::State& state, unsigned processes, bool round) { run_sums(state, processes, round, false); }

} // namespace

void register_two_processes()
{
    const struct {
        const char* name;
        void (*run)(benchmark::State&, unsigned processes, bool round);
    } routines[] = {{"post", run_posts}, {"dmix", run_dmix}, {"floor", run_floor}};
    for (const auto& [routine, run] : routines)
        for (const char* where : {"same", "round"})
            for (const unsigned processes : {1u, 2u}) {
                if ((run == run_floor && !can_mix_floor()) || usable_cores() < 2)
                    continue;
                const bool round = std::string(where) == "round";
                const std::string name = std::string("two/") + routine + '/' + where + '/' + std::to_string(processes);
                benchmark::RegisterBenchmark(name.c_str(),
                                             [=, r = run](benchmark::State& state) { r(state, processes, round); })
                    ->UseManualTime()
                    ->Unit(benchmark::kNanosecond)
                    ->Iterations(1);
            }
}

} // namespace ringmix::bench
