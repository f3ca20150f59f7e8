// SPDX-License-Identifier: LGPL-2.1-or-later

#include "tests/sim/ear.h"

#include <algorithm>
#include <cstring>

namespace ringmix::sim {

Ear* ear = nullptr;

void hear_next(const std::byte* bytes) { ear->heard_next(bytes); }
void hear_silence(std::uint64_t count) { ear->heard_silence(count); }

std::uint64_t Ear::now() const noexcept
{
    if (truth_.is_virtual) {
        if (start_ns_ < 0)
            return 0;
        const auto passed = static_cast<unsigned __int128>(world->now() - start_ns_);
        return static_cast<std::uint64_t>(passed * truth_.rate / std::uint64_t{second});
    }
    if (card->epoch() == known_epoch_ && !stands())
        last_now_ = base_ + card->played();
    return last_now_;
}

std::uint64_t Ear::low() const noexcept
{
    const std::uint64_t now = this->now() + truth_.margin;
    return now - std::min<std::uint64_t>(now, truth_.lag);
}

// While the device stands, programs think for a cycle of the engine that it goes on.
std::uint64_t Ear::high() const noexcept
{
    return now() + truth_.margin + truth_.lead + (stands() ? truth_.rate / 40 : 0);
}

std::int64_t Ear::grace_ns() const noexcept
{
    const std::uint32_t less = truth_.lag + truth_.fifo + 2;
    return ns_of(truth_.margin > less ? truth_.margin - less : 0);
}

Score& Ear::add_score(const std::string& name, const Voice& voice, std::uint32_t slot, std::uint32_t gain)
{
    for (const auto& score : scores_)
        if (score->slot() == slot)
            score->gone();
    scores_.push_back(std::make_unique<Score>(*this, name, voice, slot, gain));
    open_.push_back(scores_.back().get());
    return *scores_.back();
}

Score* Ear::score_in_slot(std::uint32_t slot) noexcept
{
    for (auto score = scores_.rbegin(); score != scores_.rend(); ++score)
        if ((*score)->slot() == slot)
            return score->get();
    return nullptr;
}

CellRing Ear::some_cells(std::size_t count)
{
    for (auto& spare : spare_) {
        if (spare.size() < count || spare.size() > 4 * count)
            continue;
        std::swap(spare, spare_.back());
        CellRing cells = std::move(spare_.back());
        spare_.pop_back();
        return cells;
    }
    return CellRing(count);
}

void Ear::find_engine()
{
    for (const Fibre* fibre : world->fibres())
        if (fibre->name == "ringmix-engine")
            engine_ = fibre;
}

// What the server has published of the device: which of its frames the card's are.
void Ear::follow_device()
{
    const peek::Snapshot newest = peek::newest();
    if (!newest.any)
        return;
    if (truth_.is_virtual) {
        if (start_ns_ < 0)
            start_ns_ = newest.time_ns - ns_of(newest.frame);
        return;
    }
    // It is not restarted again before the engine has seen it stop. A restart that it stopped after before the engine
    // looked is none for anybody, and has no generation.
    if (card->epoch() != known_epoch_ && (known_epoch_ == 0 || newest.generation != known_generation_) &&
        newest.state == abi::device_running) {
        if (known_epoch_ != 0 && newest.generation != known_generation_ + 1)
            fail("the device's generation becomes {}, and was {}", newest.generation, known_generation_);
        const std::uint64_t base = newest.frame - newest.hw_ptr;
        if (known_epoch_ != 0 && base < last_now_ - std::min<std::uint64_t>(last_now_, truth_.ring))
            fail("after its restart the device goes on at frame {}, and was at {}", base, last_now_);
        base_ = base;
        if (known_epoch_ != 0)
            disturbed(60 * ms);
        known_epoch_ = card->epoch();
        known_generation_ = newest.generation;
    }
}

void Ear::time_passes()
{
    if (engine_ == nullptr)
        find_engine();
    follow_device();
    for (Score* score : open_)
        score->passes();
    std::erase_if(open_, [this](Score* score) {
        const bool done = score->over() && !score->open();
        if (done)
            spare_cells(score->give_cells_back());
        return done;
    });
    now_before_ = now();
    if (engine_ == nullptr)
        return;
    if (!engine_->waits_for.empty())
        cycle_low_ = low();
    if (engine_stalled())
        engine_stood_ns_ = world->now();
    if ((engine_->interrupted && world->now() - engine_->since > 5 * ms) || world->stopped(engine_->process) ||
        world->dead(engine_->process))
        engine_trouble_ns_ = world->now();
    if (engine_->waits != engine_waits_) { // it has finished a cycle
        engine_waits_ = world->looks = engine_->waits;
        looks_.push_back({world->looks, high()});
        engine_idle_ns_ = world->now();
        const peek::Snapshot newest = peek::newest();
        covered_.push_back({world->now(), newest.frame + truth_.reach});
    }
    const std::int64_t long_ago = world->now() - ns_of(truth_.margin);
    for (; !covered_.empty() && covered_.front().time <= long_ago; covered_.pop_front())
        sure_ = std::max(sure_, covered_.front().frame);
}

void Ear::somebody_runs()
{
    follow_device();
    for (Score* score : open_)
        if (score->busy() || score->dead())
            score->passes();
}

void Ear::disturbed(std::int64_t ns)
{
    now(); // as long as it is known
    disturbed_until_ = std::max(disturbed_until_, world->now() + ns);
}

void Ear::heard_silence(std::uint64_t count)
{
    static const std::vector<std::byte> silent(abi::max_channels * 4);
    constexpr std::uint64_t looked_at = 1 << 16; // nobody asks for more at once
    for (std::uint64_t i = 0; i < std::min(count, looked_at); i++)
        heard_next(silent.data());
    next_ += count - std::min(count, looked_at);
}

void Ear::heard_of_card(std::uint64_t epoch, std::uint64_t frame, const std::byte* bytes)
{
    if (epoch != known_epoch_) { // nobody knows yet which frame this is
        counts.restart++;
        return;
    }
    heard(base_ + frame, bytes);
}

void Ear::heard(std::uint64_t frame, const std::byte* bytes)
{
    if (last_switch_ != world->switches) { // somebody has run since
        last_switch_ = world->switches;
        for (Score* score : open_)
            score->passes();
    }
    counts.frames++;
    heard_to_ = frame + 1;
    static std::vector<Part> parts;
    parts.clear();
    for (const Score* score : open_)
        if (const Cell* cell = score->cell(frame); cell != nullptr && cell->count != 0)
            parts.push_back({score, cell});
    counts.sounding += parts.empty() ? 0 : 1;
    static const std::vector<std::byte> silent(abi::max_channels * 4);
    if (parts.empty() && std::memcmp(bytes, silent.data(), frame_bytes_) == 0)
        return;
    if (!matches(frame, bytes, parts) && !excused(frame, parts))
        report(frame, bytes, parts);
}

void Ear::add_sound(const Score& score, std::uint64_t frame, const Sound& sound, Wide* sums) const
{
    if (sound.version == 0)
        return;
    std::int64_t samples[abi::max_channels];
    if (score.converts())
        score.converted()->values(sound.version, sound.position, samples);
    else
        values(score.voice(), sound.version, sound.position, samples);
    std::uint64_t gain = 0;
    if (sound.fade == 0) {
        gain = score.gain_at(frame);
    } else {
        const Fade& fade = score.fade(sound.fade);
        gain = on_line(fade.gain, 0, frame - fade.start, fade.length);
    }
    for (std::uint32_t d = 0; d < truth_.sink.channels; d++)
        if (score.map[d] != abi::no_channel)
            sums[d] += static_cast<Wide>(samples[score.map[d]]) * static_cast<std::int64_t>(gain);
}

bool Ear::agrees(std::uint64_t frame, const std::byte* bytes, const Wide* sums) const
{
    const std::uint32_t step = bytes_of_sample(truth_.sink.format);
    for (std::uint32_t d = 0; d < truth_.sink.channels; d++)
        if (finished(truth_.sink, sums[d], frame * truth_.sink.channels + d) !=
            played_value(truth_.sink, bytes + std::size_t{d} * step))
            return false;
    return true;
}

bool Ear::matches(std::uint64_t frame, const std::byte* bytes, std::vector<Part>& parts)
{
    constexpr std::uint64_t most = 512;
    std::uint64_t ways = 1;
    for (const Part& part : parts)
        ways *= part.cell->anything || part.cell->seam ? most + 1 : part.cell->count;
    counts.either += ways > 1 ? 1 : 0;
    if (ways > most)
        return true;
    for (std::uint64_t way = 0; way < ways; way++) {
        Wide sums[abi::max_channels] = {};
        std::uint64_t rest = way;
        for (const Part& part : parts) {
            // The newest first, which is the likeliest.
            add_sound(*part.score, frame, part.sound(part.cell->count - 1 - rest % part.cell->count), sums);
            rest /= part.cell->count;
        }
        if (agrees(frame, bytes, sums))
            return true;
    }
    return false;
}

// What of this program would explain what was heard.
std::string Ear::likeness(std::uint64_t frame, const std::byte* bytes, const Score& score, const Sound& sound,
                          const Wide* others) const
{
    constexpr std::int64_t around = 500;
    for (std::int64_t i = 0; i <= 2 * around; i++) {
        for (std::int64_t older = -3; older < 4; older++) {
            Sound other = sound;
            other.position += static_cast<std::uint64_t>(i % 2 == 0 ? i / 2 : -(i + 1) / 2); // the nearest first
            other.version = static_cast<std::uint32_t>(std::max<std::int64_t>(other.version - older, 0));
            Wide sums[abi::max_channels] = {};
            add_sound(score, frame, other, sums);
            for (std::uint32_t d = 0; d < truth_.sink.channels; d++)
                sums[d] += others[d];
            if (other.version > 1 && agrees(frame, bytes, sums))
                return fmt::format(" SOUNDS LIKE position {} version {}", other.position, other.version);
        }
    }
    return "";
}

void Ear::report(std::uint64_t frame, const std::byte* bytes, const std::vector<Part>& parts)
{
    std::string text = fmt::format("frame {} (now {}):", frame, now());
    const std::uint32_t step = bytes_of_sample(truth_.sink.format);
    Wide sums[abi::max_channels] = {};
    for (const Part& part : parts)
        add_sound(*part.score, frame, part.sound(part.cell->count - 1u), sums);
    for (std::uint32_t d = 0; d < std::min(truth_.sink.channels, 4u); d++)
        text += fmt::format(" heard {} expected {};", played_value(truth_.sink, bytes + std::size_t{d} * step),
                            finished(truth_.sink, sums[d], frame * truth_.sink.channels + d));
    for (const Part& part : parts) {
        Wide alone[abi::max_channels] = {}, without[abi::max_channels];
        add_sound(*part.score, frame, part.sound(part.cell->count - 1u), alone);
        for (std::uint32_t d = 0; d < truth_.sink.channels; d++)
            without[d] = sums[d] - alone[d];
        text += fmt::format("\n   {}:", part.score->name());
        for (unsigned i = 0; i < part.cell->count; i++) {
            const Sound& sound = part.sound(i);
            text += fmt::format(" position {} version {}{};", sound.position, sound.version,
                                sound.fade != 0 ? " fading" : "");
        }
        text += fmt::format(" adds {} with gain {}, slot {}", static_cast<std::int64_t>(alone[0] >> 30),
                            part.score->gain_at(frame), part.score->slot());
        text += agrees(frame, bytes, without) ? " IS MISSING" : "";
        for (unsigned i = part.cell->count; i-- > 0;)
            text += likeness(frame, bytes, *part.score, part.sound(i), without);
    }
    for (const Score* score : open_)
        text += fmt::format("\n   {}: running {} origin {} appl {} last {} gain {}; writings{}", score->name(),
                            score->running(), score->origin(), score->appl(), score->last(), score->gain_at(frame),
                            score->writings());
    fail("{}", text);
}

} // namespace ringmix::sim
