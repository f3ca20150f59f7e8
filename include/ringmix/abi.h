// SPDX-License-Identifier: LGPL-2.1-or-later
//
// abi.h: every byte that the server and its clients share in memory.
//
// A server creates two sealed memory files and hands their descriptors to each client:
//
//   the board   Board, then geometry.blocks BlockVersions: time, slots, versions of the ring's blocks
//   the arena   raw bytes: the lanes, each a client's own ring of samples in its own format
//
// and beside them the descriptor of the device's ring (the kernel's PCM, or a third memory file).
// The audio path uses nothing else: see docs/mixing.md for the protocol that runs over these words.
//
// Rules of this file: fixed-width fields only, offsets instead of pointers, no bool, enum, long,
// bit-field or semaphore; each field says who writes it. What clients write and what the server writes lie in
// 64-byte lines of their own; the versions of blocks are everybody's.
// A reader trusts nothing here beyond its own copy of the geometry taken at attach (core/validate.h).
// Frame numbers are absolute: they start at 0 with the device's first frame and never wrap.

#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace ringmix {

// The orders of accesses to shared words, as they are written everywhere.
inline constexpr auto relaxed = std::memory_order_relaxed;
inline constexpr auto acquire = std::memory_order_acquire;
inline constexpr auto release = std::memory_order_release;

} // namespace ringmix

namespace ringmix::abi {

inline constexpr std::uint64_t magic = 0x31584d474e495221; // "!RINGMX1", little endian
inline constexpr std::uint32_t major_version = 1;          // differs: refuse
inline constexpr std::uint32_t minor_version = 0;          // differs: fields were added at the end

inline constexpr std::uint32_t max_slots = 64;    // the bits of EngineWords::active
inline constexpr std::uint32_t max_channels = 32; // of the device and of a client
inline constexpr std::uint32_t block_frames = 64; // frames that share one version
inline constexpr std::uint32_t max_blocks = 1u << 14;
inline constexpr std::uint32_t max_ring = max_blocks * block_frames; // frames
inline constexpr std::uint32_t sync_entries = 16;
inline constexpr std::uint32_t unity_gain = 1u << 22; // gain is fixed point, 22 fractional bits
inline constexpr std::uint32_t fade_ms = 5;           // of a stream that is dropped or whose client dies
inline constexpr std::uint8_t no_channel = 0xff;      // SlotConfig::map: silence

// A slot's bit in a word of slots.
constexpr std::uint64_t bit(std::uint32_t slot) noexcept { return std::uint64_t{1} << slot; }

// 64-bit words are aligned to 8 on 32-bit processors too, so that all agree on the layout.
#ifdef RINGMIX_SIMULATED // tests/sim: each access is a step of its scheduler
template <class T> using SharedWord = sim::SteppingWord<T>;
#else
template <class T> using SharedWord = std::atomic<T>;
#endif
struct alignas(8) Word64 : SharedWord<std::uint64_t> {
    using SharedWord<std::uint64_t>::SharedWord;
    using SharedWord<std::uint64_t>::operator=;
};
struct alignas(4) Word32 : SharedWord<std::uint32_t> {
    using SharedWord<std::uint32_t>::SharedWord;
    using SharedWord<std::uint32_t>::operator=;
};

// Sample formats, of lanes and of the device. All little endian; the values are part of the ABI.
inline constexpr std::uint32_t format_u8 = 1;
inline constexpr std::uint32_t format_s16 = 2;
inline constexpr std::uint32_t format_s24 = 3;   // 24 bits in the low bytes of 32
inline constexpr std::uint32_t format_s24_3 = 4; // 24 bits in 3 bytes
inline constexpr std::uint32_t format_s32 = 5;
inline constexpr std::uint32_t format_float = 6;
inline constexpr std::uint32_t format_s32_high = 7; // of lanes only: full scale is 2^29, so that 12 dB fit above it

inline constexpr std::uint32_t device_kernel = 1;  // the ring is mapped from a PCM's descriptor
inline constexpr std::uint32_t device_virtual = 2; // the ring is a memory file

// What happens above the device's full scale, and below its last bit (kernels/mix.h).
inline constexpr std::uint32_t clip_hard = 0;
inline constexpr std::uint32_t clip_soft = 1;
inline constexpr std::uint32_t dither_none = 0;
inline constexpr std::uint32_t dither_tpdf = 1; // not for format_float

// Written by the server before `ready`; constant afterwards. Clients copy it once, at attach.
struct Geometry {
    std::uint32_t device_kind;    // device_kernel, device_virtual
    std::uint32_t format;         // of the device's ring
    std::uint32_t channels;       // 1 ... max_channels
    std::uint32_t rate;           // Hz
    std::uint32_t period_frames;  // between two interrupts of the device
    std::uint32_t ring_frames;    // the device's ring
    std::uint32_t margin_frames;  // safety margin: frames before now + margin cannot be changed
    std::uint32_t reach_frames;   // frames up to published position + reach may be written
    std::uint32_t blocks;         // ceil(ring_frames / block_frames), the BlockVersions behind Board
    std::uint32_t latency_frames; // of the device beyond the ring (its FIFO), 0 if not known
    std::uint32_t cycle_ns;       // the engine publishes time at least this often while anybody has a lane
    std::uint32_t clip;           // clip_*
    std::uint32_t dither;         // dither_*
    std::uint32_t reserved;
    std::uint64_t ring_bytes; // ring_frames * bytes of a frame
    std::uint64_t arena_bytes;
    std::uint64_t boundary;           // hw_ptr of the kernel's PCM wraps here; 0 for the virtual device
    std::uint8_t chmap[max_channels]; // ALSA channel position (SND_CHMAP_*) of each device channel
};

// Identity and life cycle of the board.
struct alignas(64) Identity {
    std::uint64_t magic;       // server, before ready
    std::uint32_t major;       // server, before ready
    std::uint32_t minor;       // server, before ready
    std::uint64_t board_bytes; // server, before ready: Board and all that follows it
    Word32 ready;              // server: 0 -> 1, stored last with release; clients load with acquire
    std::uint32_t reserved;
};

// Words of the server's engine that every client reads.
struct alignas(64) EngineWords {
    Word64 active;  // bit i: slot i has a lane to mix. Server (control and engine), release; posters, acquire
    Word64 posting; // frames that the engine works on, as SlotStream::posting. Engine
    std::uint64_t reserved[6];
};

// How far the ring is being kept. Written by whoever mixes what has come within reach: the engine, and clients while
// it is silent (core/post.h, Poster::extend).
struct alignas(64) Reach {
    Word64 mixed_to; // absolute, only ever raised: frames from now up to it are in the ring, or about to be posted by
                     // whoever raised it, before he looked at the ranges. Who changes a lane later posts them himself
    std::uint64_t reserved[7];
};

// What the device does, in the low bits of SyncEntry::device. While it does not run, time stands still at
// SyncEntry::frame: nothing is played, and nothing that is changed has been heard.
inline constexpr std::uint32_t device_running = 0;
inline constexpr std::uint32_t device_stopped = 1; // xrun, suspended: the server is restarting it
inline constexpr std::uint32_t device_gone = 2;    // unplugged: nothing more will come
inline constexpr unsigned device_state_bits = 8;

// One timing snapshot. Written by the engine only; `sequence` is odd while it is being written.
// Readers use read_newest() (core/sync_info.h): bounded tries, never blocked by a dead writer.
struct alignas(64) SyncEntry {
    Word64 sequence; // 2 * (number of this snapshot) when complete
    Word64 frame;    // absolute frame of hw_ptr: all before it has been played and silenced
    Word64 hw_ptr;   // the kernel's pointer at that frame (0 ... boundary - 1)
    Word64 time_ns;  // CLOCK_MONOTONIC when the device was at `frame`
    Word64 frame_ns; // duration of a frame, ns, 32 fractional bits
    Word64 reserved;
    Word64 latency_frames;
    Word64 device; // generation << device_state_bits | device_*. The generation counts the device's restarts;
                   // frame numbers go on over them, with a jump ahead of less than a ring
};

struct alignas(64) SyncRing {
    Word64 newest; // number of the newest complete snapshot, 0: none yet. Engine; release
    std::uint64_t reserved[7];
    SyncEntry entries[sync_entries]; // snapshot n lies in entries[n % sync_entries]
};

// What a client writes about its stream: its own line, nobody else writes it while it lives. But for ranges
// that were played long ago (2^32 frames): the engine empties them, by compare and exchange.
// The server takes the line over when the client is dead.
//
// stream word: low 32 bits one of stream_*, high 32 bits a serial number, bumped at each start. For the
// engine's log and for ringmixctl: nobody mixes by it.
//
//   idle --prepare--> prepared --start--> running <--pause/resume--> paused
//     ^                  |                |  |  \--drain--> draining
//     |                  |                |  '--underrun--> xrun --prepare--> prepared
//     '----- drop -------'--- drop / end -'-- from each of them
inline constexpr std::uint32_t stream_idle = 0;
inline constexpr std::uint32_t stream_prepared = 1;
inline constexpr std::uint32_t stream_running = 2;
inline constexpr std::uint32_t stream_paused = 3;
inline constexpr std::uint32_t stream_draining = 4;
inline constexpr std::uint32_t stream_xrun = 5;

struct alignas(64) SlotStream {
    Word64 range;   // packed extent of the valid absolute frames, 0 when empty: release / acquire
    Word64 phase;   // frame f lies in cell (f + phase) mod lane_frames; changed only while range is
                    // empty. But for bit tail_flag: the slot has a tail, look there too (core/tail.h)
    Word64 posting; // packed extent that the client has still to post, 0 when idle
    Word64 tending; // the same of the thread with which it tends the ring while the server is silent
    Word64 stream;  // serial << 32 | state, see above
    std::uint64_t reserved_last;
    Word64 underruns;
    Word64 late_frames; // frames that were written too late to be heard
};

inline constexpr std::uint64_t tail_flag = std::uint64_t{1} << 63; // in SlotStream::phase

// The end of the stream before the present one, where it is still being played: what could not be
// changed any more when it was dropped or its client died, and then its fade to silence. In the same
// lane, in cells that the present stream leaves alone. Same writer as SlotStream.
struct alignas(64) SlotTail {
    Word64 range;       // as in SlotStream
    Word64 phase;       // as in SlotStream, no flag
    Word64 gain;        // at the beginning of the fade; fixed point
    Word64 fade_frames; // the last frames of range, from gain to silence in a straight line
    Word64 start;       // absolute: where the present stream began. Instrumentation, see SlotLog
    std::uint64_t reserved[3];
};

// Instrumentation: what the server's log of --output tells about streams; nothing else reads it. The stream
// with serial number s (SlotStream::stream) leaves its record in ended[s mod stream_records] when it ends, so
// that the engine, which looks once in a cycle, learns of those that were over before it looked.
// Same writer as SlotStream.
inline constexpr std::uint32_t stream_records = 16;
struct alignas(32) StreamRecord {
    Word64 serial; // stored last, release; 0 before the rest
    Word64 first;  // absolute
    Word64 end;    // absolute: the frame after the last that was heard; not after first if none was
    Word64 fade_frames;
};
struct alignas(64) SlotLog {
    StreamRecord ended[stream_records];
};

// A client's gain over time: straight lines between points, constant before the first and after the
// last. Frames ascend. Immutable while SlotConfig::gain points to it.
inline constexpr std::uint32_t gain_points = 4;
struct alignas(64) GainTable {
    Word64 frames[gain_points]; // absolute
    Word64 gains[gain_points];  // fixed point
};
// SlotConfig::gain: which of the two tables is valid; if all its gains are the same, that, so that the
// table need not be looked at.
inline constexpr std::uint64_t gain_second_table = std::uint64_t{1} << 32;
inline constexpr std::uint64_t gain_flat = std::uint64_t{1} << 33; // the low 32 bits are the gain

// What the server writes about a slot. The client asks for changes over the socket.
//
//   free --connect--> claimed --configure--> active --unconfigure--> claimed
//                                              |
//     free <--lane gone-- retiring <--death----'
inline constexpr std::uint32_t slot_free = 0;
inline constexpr std::uint32_t slot_claimed = 1;
inline constexpr std::uint32_t slot_active = 2;
inline constexpr std::uint32_t slot_retiring = 3;

struct alignas(64) SlotConfig {
    Word32 state;    // slot_*: for ringmixctl. Whether a slot is mixed says EngineWords::active
    Word32 format;   // of the lane
    Word32 channels; // of the lane
    std::uint32_t reserved_word;
    Word64 lane_offset; // bytes into the arena
    Word64 lane_frames; // cells of the lane; which of them is a frame's: SlotStream::phase
    Word64 gain;        // see GainTable: release / acquire
    std::uint64_t reserved[3];
    Word64 map[max_channels / 8]; // byte d: the lane channel that device channel d plays, or no_channel
    std::uint64_t reserved_map[4];
};

struct alignas(64) Slot {
    SlotStream stream;
    SlotTail tail;
    SlotConfig config;
    GainTable gains[2]; // server
    SlotLog log;
};

// The turn count of one block of the ring: everybody who changes what the block should contain
// bumps it before recombining; a change seen afterwards means: recombine again.
struct BlockVersion {
    Word32 version;
};

struct alignas(64) Board {
    Identity identity;
    alignas(64) Geometry geometry;
    EngineWords engine;
    Reach reach;
    SyncRing sync;
    Slot slots[max_slots];
    // BlockVersion versions[geometry.blocks] follow
};

static_assert(std::atomic<std::uint64_t>::is_always_lock_free);
static_assert(std::atomic<std::uint32_t>::is_always_lock_free);
static_assert(sizeof(Word64) == 8 && alignof(Word64) == 8 && sizeof(Word32) == 4);
static_assert(sizeof(Geometry) == 112 && offsetof(Geometry, ring_bytes) == 56 && offsetof(Geometry, chmap) == 80);
static_assert(sizeof(Identity) == 64 && offsetof(Identity, ready) == 24);
static_assert(sizeof(EngineWords) == 64 && offsetof(EngineWords, posting) == 8);
static_assert(sizeof(Reach) == 64);
static_assert(sizeof(SyncEntry) == 64 && offsetof(SyncEntry, device) == 56);
static_assert(sizeof(SyncRing) == 64 * (1 + sync_entries) && offsetof(SyncRing, entries) == 64);
static_assert(sizeof(SlotStream) == 64 && offsetof(SlotStream, late_frames) == 56);
static_assert(sizeof(SlotConfig) == 128 && offsetof(SlotConfig, lane_offset) == 16 && offsetof(SlotConfig, map) == 64);
static_assert(sizeof(SlotTail) == 64 && sizeof(GainTable) == 64 && offsetof(GainTable, gains) == 32);
static_assert(sizeof(StreamRecord) == 32 && sizeof(SlotLog) == 32 * stream_records);
static_assert(sizeof(Slot) == 384 + sizeof(SlotLog) && offsetof(Slot, log) == 384 && offsetof(Slot, config) == 128 &&
              offsetof(Slot, gains) == 256);
static_assert(sizeof(BlockVersion) == 4);
static_assert(offsetof(Board, geometry) == 64 && offsetof(Board, engine) == 192);
static_assert(offsetof(Board, reach) == 256 && offsetof(Board, sync) == 320);
static_assert(offsetof(Board, slots) == 320 + 64 * 17);
static_assert(sizeof(Board) == 320 + 64 * 17 + sizeof(Slot) * max_slots);
static_assert(std::is_standard_layout_v<Board> && std::is_standard_layout_v<Slot>);

} // namespace ringmix::abi
