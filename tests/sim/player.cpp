// SPDX-License-Identifier: LGPL-2.1-or-later

#include "tests/sim/player.h"

#include "client/connection.h"
#include "core/message.h"

#include <algorithm>
#include <cerrno>
#include <cmath>

namespace ringmix::sim {

Player::Player(unsigned index, std::uint64_t seed, const PlayerHabits& habits)
    : index_(index), dice_(seed), habits_(habits)
{
}

// The device's in two of three cases; of the others mostly one that is not far from it, since every frame costs then as
// many samples as the filter is long.
unsigned Player::choose_rate()
{
    const unsigned device = ear->truth().rate;
    if (only_device_rate_ || !habits_.other_rates || !dice_.one_in(3))
        return device;
    unsigned rate = dice_.pick({8000u, 11025u, 16000u, 22050u, 32000u, 44100u, 48000u, 88200u, 96000u, 192000u});
    if (dice_.one_in(4))
        rate = static_cast<unsigned>(dice_.between(8000, 192000));
    const bool far = rate > 3 * device || device > 6 * rate;
    return far && !dice_.one_in(6) ? (dice_.one_in(2) ? std::min(device * 3 / 2, 192000u) : std::max(device / 2, 8000u))
                                   : rate;
}

PcmWishes Player::choose()
{
    const Ear::Truth& truth = ear->truth();
    PcmWishes wishes;
    wishes.only_device_rate = only_device_rate_;
    wishes.voice.seed = dice_.next();
    wishes.voice.format = dice_.pick({abi::format_s16, abi::format_s16, abi::format_s24, abi::format_s24_3,
                                      abi::format_s32, abi::format_float, abi::format_u8});
    const unsigned channels = std::min(truth.sink.channels, habits_.max_channels);
    wishes.voice.channels = dice_.one_in(3) ? static_cast<unsigned>(dice_.between(1, channels)) : channels;
    wishes.voice.quieter = static_cast<std::uint32_t>(dice_.below(5));
    wishes.voice.odd = habits_.odd && dice_.one_in(4);
    wishes.access = dice_.pick({SND_PCM_ACCESS_RW_INTERLEAVED, SND_PCM_ACCESS_RW_INTERLEAVED,
                                SND_PCM_ACCESS_RW_NONINTERLEAVED, SND_PCM_ACCESS_MMAP_INTERLEAVED});
    wishes.rate = choose_rate();
    const std::int64_t least = 128;
    const std::int64_t most =
        std::max(least, std::int64_t{habits_.max_buffer} * wishes.rate / static_cast<std::int64_t>(truth.rate));
    wishes.buffer = static_cast<snd_pcm_uframes_t>(dice_.between(least, dice_.one_in(3) ? most : most / 4 + least));
    wishes.period = static_cast<snd_pcm_uframes_t>(dice_.between(32, static_cast<std::int64_t>(wishes.buffer / 2)));
    wishes.start_threshold =
        dice_.pick<snd_pcm_uframes_t>({1, 1, wishes.buffer / 2, wishes.buffer, ~snd_pcm_uframes_t{0} / 2});
    wishes.avail_min = dice_.pick<snd_pcm_uframes_t>({wishes.period, wishes.period, 1, wishes.buffer / 2});
    if (dice_.one_in(5))
        wishes.stop_threshold = wishes.buffer - dice_.below(wishes.buffer / 4);
    wishes.goes_on = dice_.one_in(6);
    if (dice_.one_in(4))
        wishes.gain_db = static_cast<double>(dice_.between(-30, 12));
    if (wishes.voice.channels != truth.sink.channels && wishes.voice.channels > 1) {
        std::vector<unsigned> all;
        for (unsigned d = 0; d < truth.sink.channels; d++)
            all.push_back(d);
        for (unsigned c = 0; c < wishes.voice.channels; c++)
            std::swap(all[c], all[c + dice_.below(all.size() - c)]);
        wishes.map.assign(all.begin(), all.begin() + wishes.voice.channels);
    }
    return wishes;
}

void Player::run()
{
    for (;;) {
        world->sleep_until(world->now() + dice_.between(0, 200 * ms));
        only_device_rate_ = dice_.one_in(3);
        const PcmWishes wishes = choose();
        if (!pcm_.open(fmt::format("p{}.{}", index_, ++opened_), wishes)) {
            if (machine().device_gone || machine().server_gone())
                return;
            if (pcm_.error != EBUSY && pcm_.error != ENODEV && pcm_.error != ETIMEDOUT)
                fail("open gives {}", pcm_.error);
            continue;
        }
        PcmWishes next = wishes;
        do {
            if (!pcm_.configure(next)) {
                if (pcm_.error == ENODEV && (machine().device_gone || ear->truth().tended))
                    break;
                if (pcm_.error != ENOMEM)
                    fail("hw_params gives {}", pcm_.error);
                break;
            }
            if (!session())
                break;
            if (!dice_.one_in(3))
                break;
            pcm_.hw_free();
            next = choose();
            next.voice.channels = wishes.voice.channels; // as the map has them
            next.map = wishes.map;
        } while (!pcm_.lost());
        pcm_.close();
        if (machine().device_gone || machine().server_gone())
            return;
    }
}

bool Player::session()
{
    const auto streams = dice_.between(1, 6);
    for (std::int64_t i = 0; i < streams; i++) {
        if (!stream())
            return false;
        if (pcm_.state() == SND_PCM_STATE_RUNNING && !dice_.one_in(4))
            pcm_.drop();
        if (pcm_.lost())
            return false;
        if (dice_.one_in(3))
            world->sleep_until(world->now() + dice_.between(0, 30 * ms));
        if (i + 1 < streams && pcm_.state() != SND_PCM_STATE_RUNNING)
            pcm_.prepare();
        if (pcm_.lost())
            return false;
    }
    return true;
}

bool Player::stream()
{
    const std::int64_t until =
        world->now() + (dice_.one_in(3) ? dice_.between(0, 100 * ms) : dice_.between(0, 3 * second));
    while (world->now() < until) {
        if (!act() || pcm_.lost())
            return !pcm_.lost();
    }
    const snd_pcm_state_t state = pcm_.state();
    const Score& score = pcm_.score();
    const bool rewound = state == SND_PCM_STATE_RUNNING && score.converts() && score.appl() != score.written();
    if (dice_.one_in(4) && (state == SND_PCM_STATE_RUNNING || state == SND_PCM_STATE_PREPARED) && !rewound)
        pcm_.drain();
    return !pcm_.lost();
}

bool Player::write_some()
{
    const snd_pcm_uframes_t buffer = pcm_.wishes().buffer;
    snd_pcm_uframes_t frames = pcm_.wishes().period;
    switch (dice_.below(8)) {
    case 0:
        frames = buffer;
        break;
    case 1:
        frames = 1 + dice_.below(buffer);
        break;
    case 2:
        frames = 1 + dice_.below(32);
        break;
    default:
        break;
    }
    const snd_pcm_sframes_t taken = pcm_.write(frames);
    if (pcm_.lost())
        return false;
    if (taken == -EPIPE || pcm_.state() == SND_PCM_STATE_XRUN)
        return recover();
    if (taken == -EAGAIN || taken == 0 || static_cast<snd_pcm_uframes_t>(taken) < frames)
        wait_or_sleep();
    return true;
}

bool Player::recover()
{
    if (dice_.one_in(4))
        return false; // the stream is over
    pcm_.prepare();
    return !pcm_.lost();
}

void Player::wait_or_sleep()
{
    if (pcm_.state() == SND_PCM_STATE_PREPARED) {
        if (dice_.one_in(2))
            pcm_.start();
        return;
    }
    if (dice_.one_in(12))
        world->sleep_until(world->now() + dice_.between(0, 20 * ms));
    else
        pcm_.wait(static_cast<int>(dice_.between(1, 2000)));
}

void Player::rewind_some()
{
    const snd_pcm_sframes_t room = pcm_.avail();
    if (room < 0 || pcm_.lost() || pcm_.state() == SND_PCM_STATE_XRUN)
        return;
    const auto queued = static_cast<std::int64_t>(pcm_.wishes().buffer) - room;
    if (queued <= 0 || pcm_.score().appl() < 2)
        return;
    auto back = static_cast<snd_pcm_uframes_t>(dice_.between(1, queued));
    back = std::min<snd_pcm_uframes_t>(back, pcm_.score().appl() - 1); // back to 0 would be a reset
    pcm_.rewind(back);
    if (pcm_.state() == SND_PCM_STATE_XRUN || pcm_.lost())
        return;
    if (!dice_.one_in(3))
        pcm_.write(1 + dice_.below(back));
}

void Player::pause_a_while()
{
    pcm_.pause();
    if (pcm_.lost())
        return;
    if (!pcm_.score().knows_place())
        return pcm_.drop();
    world->sleep_until(world->now() + (dice_.one_in(4) ? 0 : dice_.between(0, 300 * ms)));
    if (dice_.one_in(4))
        pcm_.write(1 + dice_.below(64));
    if (dice_.one_in(4))
        pcm_.check_delay();
    if (pcm_.lost() || pcm_.state() != SND_PCM_STATE_PAUSED)
        return;
    if (dice_.one_in(6))
        pcm_.drop();
    else
        pcm_.resume();
}

// One thing that it does. False: the stream is over.
bool Player::act()
{
    const snd_pcm_state_t state = pcm_.state();
    if (state == SND_PCM_STATE_XRUN)
        return recover();
    if (state != SND_PCM_STATE_RUNNING && state != SND_PCM_STATE_PREPARED)
        return false;
    const bool running = state == SND_PCM_STATE_RUNNING;
    switch (dice_.below(habits_.eager ? 24 : 60)) {
    case 0:
    case 1:
        rewind_some();
        break;
    case 2:
        if (const snd_pcm_sframes_t room = pcm_.avail(); room > 0 && dice_.one_in(4))
            pcm_.forward(1 + dice_.below(static_cast<std::uint64_t>(std::min<snd_pcm_sframes_t>(room, 64))));
        break;
    case 3:
        if (running)
            pause_a_while();
        break;
    case 4:
        if (running && dice_.one_in(2))
            pcm_.drop();
        return !running;
    case 5:
        if (running && dice_.one_in(3)) { // away for too long
            world->sleep_until(world->now() + ear->ns_of(pcm_.wishes().buffer) + dice_.between(0, 50 * ms));
            pcm_.avail();
        }
        break;
    case 6:
    case 7:
    case 8:
        pcm_.avail();
        break;
    case 9:
    case 10:
        if (running)
            pcm_.check_delay();
        break;
    case 11:
        if (running)
            wait_or_sleep();
        break;
    default:
        return write_some();
    }
    return !pcm_.lost();
}

namespace {

std::uint32_t fixed_point(std::int32_t millibel)
{
    return static_cast<std::uint32_t>(std::lround(std::pow(10.0, std::min(millibel, 1200) / 2000.0) * abi::unity_gain));
}

// What the request makes of the level, and whether it is heard.
void apply(Score& score, const protocol::SetGain& request)
{
    if (request.what == protocol::gain_mute)
        score.muted = true;
    else if (request.what == protocol::gain_unmute)
        score.muted = false;
    else if (request.what == protocol::gain_absolute)
        score.level = request.millibel == protocol::millibel_silence ? 0 : fixed_point(request.millibel);
    else
        score.level = static_cast<std::uint32_t>(
            std::lround(std::min<double>(score.level * std::pow(10.0, request.millibel / 2000.0), fixed_point(1200))));
}

void change_one(client::Connection& connection, Score& score, Dice& dice)
{
    auto request = core::make_message<protocol::SetGain>();
    request.id = protocol::no_slot;
    request.what = dice.pick({protocol::gain_absolute, protocol::gain_absolute, protocol::gain_relative,
                              protocol::gain_mute, protocol::gain_unmute, protocol::gain_unmute});
    request.millibel = static_cast<std::int32_t>(dice.between(-4000, 1200));
    if (request.what == protocol::gain_relative)
        request.millibel = static_cast<std::int32_t>(dice.between(-1000, 1000));
    else if (dice.one_in(10))
        request.millibel = protocol::millibel_silence;
    core::put_text(request.name, score.name());
    const std::uint32_t level = score.level;
    const bool muted = score.muted;
    apply(score, request);
    const std::uint32_t target = score.muted ? 0 : score.level;
    world->note("asks for a gain of", target, score.slot());
    score.ask_gain(target);
    if (connection.ask<protocol::Done>(request).count != 0)
        return;
    score.withdraw_gain(target);
    score.level = level;
    score.muted = muted;
}

} // namespace

void mix_gains(std::uint64_t seed, std::int64_t mean_ns)
{
    Dice dice(seed);
    client::Address address;
    address.socket = "/sim";
    address.role = protocol::role_tool;
    address.answer_ms = 1'000'000;
    try {
        client::Connection connection(address);
        for (;;) {
            world->sleep_until(world->now() + dice.between(1, 2 * mean_ns));
            std::vector<Score*> all;
            for (const auto& [process, program] : machine().programs)
                if (program.score != nullptr && program.score->open() && !world->dead(process))
                    all.push_back(program.score);
            if (!all.empty())
                change_one(connection, *all[dice.below(all.size())], dice);
        }
    } catch (const client::ClientError& error) {
        if (!machine().device_gone && !machine().server_gone())
            fail("the mixer is told: {}", error.what());
    }
}

} // namespace ringmix::sim
