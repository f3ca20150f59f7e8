// SPDX-License-Identifier: LGPL-2.1-or-later

#include "tests/sim/ear.h"

namespace ringmix::sim {

void Counts::add(const Counts& other)
{
    auto* mine = reinterpret_cast<std::uint64_t*>(this);
    const auto* its = reinterpret_cast<const std::uint64_t*>(&other);
    for (std::size_t i = 0; i < sizeof *this / sizeof *mine; i++)
        mine[i] += its[i];
}

std::string Counts::text() const
{
    return fmt::format(
        "{} frames, {} with sound; excused: {} either, {} in the gap, {} in flight, {} unreached, {} engine stood, "
        "{} restart; {} streams, {} calls, {} wakes ({} for nothing), {} xruns, {} drains, {} gains, "
        "{} deaths, {} stops",
        frames, sounding, either, gap, in_flight, unreached, engine_stood, restart, streams, calls, wakes, idle_wakes,
        xruns, drains, gains, deaths, stops);
}

} // namespace ringmix::sim
