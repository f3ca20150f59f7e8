// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What may be heard otherwise than asked for, and how long.

#include "core/test_hooks.h"
#include "tests/sim/ear.h"

#include <algorithm>
#include <utility>

namespace ringmix::sim {

bool Ear::engine_stalled() const noexcept
{
    return engine_ != nullptr && engine_->waits_for.empty() && engine_->interrupted &&
           world->now() - engine_->busy_since > grace_ns();
}

bool Ear::engine_late() const noexcept
{
    return engine_ == nullptr || world->held() || world->now() - engine_idle_ns_ > 100 * ms + 20 * ms ||
           world->now() < engine_trouble_ns_ + 60 * ms;
}

void Ear::batch(std::uint32_t point, std::uint64_t from, std::uint32_t frames)
{
    const Fibre* fibre = world->current();
    if (fibre == nullptr)
        return;
    if (world->verbose)
        world->note(point == core::test_posting    ? "posts"
                    : point == core::test_gathered ? "has gathered"
                    : point == core::test_stored   ? "has stored"
                                                   : "is done",
                    from, frames);
    Batch& batch = batches_[fibre->number];
    if (point == core::test_posting) {
        batch = {};
        batch.from = from;
        batch.frames = frames;
        batch.since = world->now();
        batch.open = true;
        batch.summed_ns = batch.round_ns = world->now();
    } else if (point == core::test_gathered) {
        batch.summing_ns = std::min(batch.summing_ns, batch.round_ns);
    } else if (point == core::test_stored) {
        batch.summed_ns = batch.summing_ns;
        batch.summing_ns = never;
    } else {
        batch.open = false;
    }
}

void Ear::round_begins()
{
    if (const Fibre* fibre = world->current(); fibre != nullptr)
        batches_[fibre->number].round_ns = world->now();
}

void Ear::wrote(const Score* who, std::int64_t began)
{
    constexpr std::int64_t rest = 5 * ms; // between two looks
    for (auto& [number, batch] : batches_) {
        const Fibre& fibre = *world->fibres()[number];
        if (!batch.open || !fibre.interrupted || fibre.process == world->current_process())
            continue;
        if (std::exchange(batch.stood_ns, fibre.since) != fibre.since) {
            batch.looks.clear();
            batch.repaired = ~std::uint64_t{0};
        }
        const auto first = batch.looks.find(who);
        if (first == batch.looks.end() && began >= fibre.since + rest)
            batch.looks[who] = world->now();
        else if (first != batch.looks.end() && began >= first->second + rest)
            batch.repaired = std::min(batch.repaired, high());
    }
}

// Whether the frame may be wrong, and counts why.
bool Ear::excused(std::uint64_t frame, const std::vector<Part>& parts)
{
    const bool unsure = std::any_of(parts.begin(), parts.end(), [](const Part& part) { return part.score->unsure(); });
    if (!quiet_time() || unsure) {
        counts.restart++;
        return true;
    }
    if ((frame >= sure_ && !truth_.tended) || (truth_.is_virtual && now() > frame + truth_.rate / 20)) {
        counts.unreached++;
        return true;
    }
    if ((engine_stalled() || engine_late()) &&
        std::any_of(parts.begin(), parts.end(), [&](const Part& part) { return part.score->gain_unsure(frame); })) {
        counts.engine_stood++;
        return true;
    }
    if ((engine_stalled() && !truth_.tended) || (truth_.is_virtual && world->now() < engine_stood_ns_ + 12 * ms)) {
        counts.engine_stood++;
        return true;
    }
    const bool ending =
        std::any_of(open_.begin(), open_.end(), [](const Score* score) { return score->perhaps_ending(); });
    if (!in_flight(frame, parts, ending))
        return false;
    (ending ? counts.gap : counts.in_flight)++; // in neither, or in both
    return true;
}

// In the batch of one who stands in the middle of it, or is dead: what was changed since he has summed it may be
// missing, until others have looked at him twice. While a stream ends it may be in neither of its words, or in both.
bool Ear::in_flight(std::uint64_t frame, const std::vector<Part>& parts, bool ending) const
{
    constexpr std::uint64_t repaired = 3; // cycles of the engine: in the one that stands it has looked already
    const bool either = std::any_of(parts.begin(), parts.end(), [](const Part& part) { return part.cell->count > 1; });
    // Everybody knew that its place belongs to this frame and no more to the turn before.
    const std::int64_t turned =
        world->now() - ns_of(truth_.ring) + ns_of(2 * truth_.cycle + truth_.lag + truth_.margin);
    for (const auto& [number, batch] : batches_) {
        const Fibre& fibre = *world->fibres()[number];
        if (!batch.open || (!ending && (world->now() - batch.since < grace_ns() || !fibre.interrupted)))
            continue;
        const std::uint64_t place = (frame % truth_.ring + truth_.ring - batch.from % truth_.ring) % truth_.ring;
        if (place >= batch.frames)
            continue;
        const std::int64_t changed = std::max({changed_ns_[frame % truth_.ring], all_changed_ns_, turned});
        if (!either && changed < std::min(batch.summed_ns, batch.summing_ns))
            continue;
        const auto look = std::lower_bound(looks_.begin(), looks_.end(), fibre.looks + repaired,
                                           [](const Look& l, std::uint64_t sought) { return l.number < sought; });
        if (look != looks_.end() && frame >= look->frame)
            continue;
        if (batch.stood_ns == fibre.since && frame >= batch.repaired)
            continue;
        if (truth_.tended && world->now() - fibre.since > repaired_ns())
            continue;
        return true;
    }
    return false;
}

} // namespace ringmix::sim
