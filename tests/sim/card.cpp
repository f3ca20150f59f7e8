// SPDX-License-Identifier: LGPL-2.1-or-later

#include "tests/sim/card.h"

#include "core/format.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace ringmix::sim {

std::shared_ptr<Card> card;

namespace {

// The largest multiple of the ring that fits, in powers of two of it: as the kernel chooses it.
std::uint64_t boundary_below(unsigned bits, std::uint64_t ring)
{
    std::uint64_t boundary = ring;
    while (boundary * 2 <= (std::uint64_t{1} << bits) - ring)
        boundary *= 2;
    return boundary;
}

} // namespace

Card::Card(const server::DeviceShape& shape, const CardHabits& habits)
    : Object(its_kind), shape_(shape), habits_(habits), frame_bytes_(shape.channels * core::sample_bytes(shape.format)),
      ring_(std::make_shared<Block>("ring", std::size_t{shape.ring_frames} * frame_bytes_)),
      boundary_(boundary_below(habits.boundary_bits, shape.ring_frames))
{
    shape_.boundary = boundary_;
}

std::uint64_t Card::position_at(std::int64_t time) const noexcept
{
    const auto passed = static_cast<__int128>(std::max<std::int64_t>(time - start_ns_, 0));
    const __int128 frames =
        passed * shape_.rate * (1'000'000 + habits_.ppm) / (static_cast<__int128>(second) * 1'000'000);
    return base_ + static_cast<std::uint64_t>(frames);
}

std::int64_t Card::time_of(std::uint64_t frame) const noexcept
{
    const auto frames = static_cast<__int128>(frame - base_);
    const __int128 rate = static_cast<__int128>(shape_.rate) * (1'000'000 + habits_.ppm);
    return start_ns_ + static_cast<std::int64_t>((frames * second * 1'000'000 + rate - 1) / rate);
}

std::uint64_t Card::played() const noexcept
{
    return state_ == State::running ? position_at(world->now())
                                    : read_ - std::min<std::uint64_t>(read_, habits_.fifo_frames);
}

std::uint64_t Card::known_position() const noexcept
{
    const std::uint64_t position = position_at(world->now());
    return habits_.by_periods ? position / shape_.period_frames * shape_.period_frames : position;
}

void Card::prepare()
{
    advance();
    state_ = State::prepared;
    base_ = read_ = silenced_ = hw_ = 0;
    arming_++;
}

int Card::start()
{
    if (start_error != 0)
        return -start_error;
    epoch_++;
    start_ns_ = world->now();
    stamp_ns_ = 0; // until it moves
    state_ = State::running;
    world->note("the card starts", epoch_);
    if (epoch_ > 1 && restarted)
        restarted();
    arm();
    return 0;
}

void Card::drop()
{
    advance();
    if (state_ != State::gone)
        state_ = State::setup;
    arming_++;
}

void Card::stop(State state)
{
    advance();
    if (state_ != State::running)
        return;
    world->note("the card stops at", played());
    state_ = state;
    arming_++;
    ticks->count = 1; // MSTOP
    world->changed(*ticks);
}

void Card::unplug()
{
    advance();
    world->note("the card is unplugged at", played());
    state_ = State::gone;
    arming_++;
    ticks->count = 1;
    world->changed(*ticks);
}

void Card::jump(std::uint64_t frames)
{
    if (state_ != State::running)
        return;
    advance();
    world->note("the card jumps", frames);
    base_ = position_at(world->now()) + frames;
    start_ns_ = world->now();
    read_ = base_ + habits_.fifo_frames;
    arm();
}

void Card::skip_to(std::int64_t time)
{
    if (state_ != State::running || time <= world->now())
        return;
    update();
    for (std::size_t i = 0; i < std::size_t{shape_.ring_frames} * frame_bytes_; i++)
        if (ring_->data[i] != std::byte{0})
            fail("the ring is not silent, and nobody has run for two turns of it");
    arming_++;
    skipping_until_ = time;
    world->at(time, [this] {
        skipping_until_ = 0;
        if (state_ != State::running)
            return;
        read_ = position_at(world->now()) + habits_.fifo_frames;
        update();
        arm();
    });
}

void Card::advance()
{
    if (state_ != State::running || skipping_until_ != 0)
        return;
    const std::uint64_t to = position_at(world->now()) + habits_.fifo_frames;
    std::uint64_t offset = read_ % shape_.ring_frames;
    while (read_ < to) {
        heard(read_, ring_->data + offset * frame_bytes_);
        read_++;
        if (++offset == shape_.ring_frames)
            offset = 0;
    }
}

// From one published position to the next: first silence, then the pointer.
void Card::silence_to(std::uint64_t frame)
{
    std::uint64_t count = std::min<std::uint64_t>(frame - std::min(frame, silenced_), shape_.ring_frames);
    std::uint64_t from = frame - count;
    while (count > 0) {
        const std::uint64_t offset = from % shape_.ring_frames;
        const std::uint64_t run = std::min(count, shape_.ring_frames - offset);
        std::memset(ring_->data + offset * frame_bytes_, 0, run * frame_bytes_);
        from += run;
        count -= run;
    }
    silenced_ = std::max(silenced_, frame);
}

void Card::publish(std::uint64_t frame, std::int64_t time)
{
    if (frame == hw_ && stamp_ns_ != 0)
        return;
    hw_ = frame;
    stamp_ns_ = time;
}

void Card::update()
{
    if (state_ != State::running)
        return;
    const std::uint64_t frame = std::max(known_position(), silenced_);
    silence_to(frame);
    publish(frame, world->now());
}

void Card::arm()
{
    const std::uint64_t mine = ++arming_;
    const std::uint64_t next = (position_at(world->now()) / shape_.period_frames + 1) * shape_.period_frames;
    const std::int64_t late = habits_.jitter_ns > 0 ? world->dice().between(0, habits_.jitter_ns) : 0;
    world->at(time_of(next) + late, [this, mine] {
        if (mine == arming_)
            interrupt();
    });
}

void Card::interrupt()
{
    const std::uint64_t frame = std::max(known_position(), silenced_);
    silence_to(frame);
    const std::uint64_t epoch = epoch_;
    const std::int64_t time = world->now();
    const auto finish = [this, frame, epoch, time] {
        if (epoch != epoch_ || state_ != State::running)
            return;
        if (frame > hw_)
            publish(frame, time);
        ticks->count++;
        world->changed(*ticks);
    };
    if (habits_.publish_ns > 0)
        world->at(world->now() + world->dice().between(0, habits_.publish_ns), finish);
    else
        finish();
    arm();
}

os::KernelPcm::Position Card::position() const noexcept
{
    return {hw_ % boundary_, stamp_ns_, state_ == State::running, state_ == State::gone};
}

} // namespace ringmix::sim
