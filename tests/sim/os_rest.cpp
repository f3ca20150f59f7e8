// SPDX-License-Identifier: LGPL-2.1-or-later
//
// os/timer.h and os/process.h for the simulator, and the server's log.

#include "os/process.h"
#include "os/timer.h"
#include "server/log.h"
#include "tests/sim/machine.h"

#include <algorithm>
#include <cerrno>
#include <system_error>

namespace ringmix::sim {

Machine& machine()
{
    static Machine the;
    return the;
}

} // namespace ringmix::sim

namespace ringmix::os {

using sim::machine;
using sim::world;

std::int64_t monotonic_ns() noexcept { return world->now(); }

void sleep_ns(std::int64_t ns) noexcept { world->sleep_until(world->now() + ns); }

Timer::Timer() : fd_(world->open_fd(std::make_shared<sim::TimerObject>())) {}

void Timer::set(std::int64_t ns) noexcept
{
    const auto timer = world->object_as<sim::TimerObject>(fd_.get());
    timer->expires = std::max<std::int64_t>(ns, 1);
    world->changed(*timer);
}

void Timer::disarm() noexcept { world->object_as<sim::TimerObject>(fd_.get())->expires = sim::never; }

void Timer::wait(int also) noexcept
{
    const auto timer = world->object(fd_.get());
    const auto other = also >= 0 ? world->object(also) : nullptr;
    sim::Object* objects[] = {timer.get(), other.get()};
    world->wait({objects, other ? 2u : 1u}, sim::never);
}

std::string program_name() { return machine().programs[world->current_process()].name; }

std::string process_name(pid_t pid) { return machine().programs[static_cast<std::uint32_t>(pid)].name; }

Descriptor watch_process(pid_t pid)
{
    auto death = std::make_shared<sim::Death>();
    death->process = static_cast<std::uint32_t>(pid);
    machine().deaths.push_back(death);
    return Descriptor(world->open_fd(std::move(death)));
}

SpawnResult spawn_detached(const std::vector<std::string>&, const std::vector<std::string>&, int)
{
    throw std::system_error(ENOSYS, std::generic_category(), "no program is started in the simulator");
}

bool become_realtime(int) noexcept { return machine().realtime; }

void name_thread(const char* name) noexcept
{
    sim::Fibre& fibre = *world->current();
    fibre.name = name;
    if (fibre.name == "ringmix-engine")
        fibre.temper = machine().engine_temper;
}


} // namespace ringmix::os

namespace ringmix::server {

void set_log_level(LogLevel) noexcept {}
bool log_level_from_name(std::string_view, LogLevel&) noexcept { return false; }
void log_to_syslog() noexcept {}

void log_line(LogLevel level, const std::string& line) noexcept
{
    if (level <= LogLevel::info)
        sim::machine().log_lines++;
    if (sim::world->verbose)
        fmt::print("{:.6f} log: {}\n", static_cast<double>(sim::world->now()) / 1e9, line);
}

} // namespace ringmix::server
