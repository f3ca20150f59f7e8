// SPDX-License-Identifier: LGPL-2.1-or-later

#include "core/gain.h"

#include <algorithm>

namespace ringmix::core {

namespace {
// Longer lines are cut short, so that products fit 64 bits whatever the shared memory says.
constexpr std::uint64_t max_line = std::uint64_t{1} << 31;
} // namespace

GainCurve GainCurve::constant(std::uint32_t gain) noexcept
{
    GainCurve curve;
    curve.gains.fill(std::min(gain, max_gain));
    return curve;
}

bool GainCurve::flat() const noexcept
{
    return std::all_of(gains.begin(), gains.end(), [this](std::uint32_t gain) { return gain == gains[0]; });
}

GainLine GainCurve::line_at(std::uint64_t frame) const noexcept
{
    if (frame < frames[0])
        return {gains[0], gains[0], 0, 0, frames[0]};
    for (std::size_t i = 0; i + 1 < frames.size(); i++) {
        if (frame >= frames[i + 1] || frame < frames[i])
            continue;
        const std::uint64_t length = frames[i + 1] - frames[i];
        if (gains[i] == gains[i + 1] || length > max_line)
            return {gains[i + 1], gains[i + 1], 0, 0, frames[i + 1]};
        return {gains[i], gains[i + 1], length, frame - frames[i], frames[i + 1]};
    }
    return {gains.back(), gains.back()};
}

std::uint32_t GainCurve::at(std::uint64_t frame) const noexcept { return gain_on(line_at(frame), 0); }

GainCurve with_ramp(const GainCurve& curve, std::uint64_t now, std::uint64_t start, std::uint64_t length,
                    std::uint32_t target) noexcept
{
    // The old points that still matter: the last one that is not after `now`, and all up to `start`.
    GainCurve result;
    std::size_t count = 0;
    const std::size_t room = result.frames.size() - 2;
    for (std::size_t i = 0; i < curve.frames.size(); i++) {
        const bool passed = i + 1 < curve.frames.size() && curve.frames[i + 1] <= now;
        const bool repeated = i > 0 && curve.frames[i] == curve.frames[i - 1] && curve.gains[i] == curve.gains[i - 1];
        if (passed || repeated || curve.frames[i] >= start)
            continue;
        if (count == room) {
            std::copy(result.frames.begin() + 1, result.frames.begin() + count, result.frames.begin());
            std::copy(result.gains.begin() + 1, result.gains.begin() + count, result.gains.begin());
            count--;
        }
        result.frames[count] = curve.frames[i];
        result.gains[count++] = curve.gains[i];
    }
    result.frames[count] = start;
    result.gains[count++] = curve.at(start);
    while (count < result.frames.size()) {
        result.frames[count] = start + length;
        result.gains[count++] = std::min(target, max_gain);
    }
    return result;
}

GainCurve read_gains(const abi::Slot& slot) noexcept
{
    const std::uint64_t word = slot.config.gain.load(std::memory_order_acquire);
    if ((word & abi::gain_flat) != 0)
        return GainCurve::constant(static_cast<std::uint32_t>(word));
    const abi::GainTable& table = slot.gains[(word & abi::gain_second_table) != 0 ? 1 : 0];
    GainCurve curve;
    for (std::size_t i = 0; i < curve.frames.size(); i++) {
        curve.frames[i] = table.frames[i].load(relaxed);
        curve.gains[i] = static_cast<std::uint32_t>(std::min<std::uint64_t>(table.gains[i].load(relaxed), max_gain));
    }
    return curve;
}

void publish_gains(abi::Slot& slot, const GainCurve& curve) noexcept
{
    const std::uint64_t second = (slot.config.gain.load(relaxed) & abi::gain_second_table) ^ abi::gain_second_table;
    abi::GainTable& table = slot.gains[second != 0 ? 1 : 0];
    for (std::size_t i = 0; i < curve.frames.size(); i++) {
        table.frames[i].store(curve.frames[i], relaxed);
        table.gains[i].store(curve.gains[i], relaxed);
    }
    const std::uint64_t flat = curve.flat() ? abi::gain_flat | curve.gains[0] : 0;
    slot.config.gain.store(second | flat, std::memory_order_release);
}

} // namespace ringmix::core
