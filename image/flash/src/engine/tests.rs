use super::*;
use crate::gpt::{Gpt, SECTOR};
use crate::progress::Silent;
use proptest::prelude::*;

const MIB: usize = 1 << 20;

/// A disk in memory that fails at the operation of a number, and from then on.
struct Memory {
    bytes: Vec<u8>,
    fails_at: Option<usize>,
    with: i32,
    operations: usize,
    /// Writes that were acknowledged, and lost: a stick that is smaller than it says.
    true_size: usize,
    can_discard: bool,
    /// A sector that waits for the disk to put another one in its place.
    unreadable_until_written: Option<usize>,
}

impl Memory {
    fn new(size: usize) -> Self {
        Self {
            bytes: vec![0xaa; size],
            fails_at: None,
            with: libc::EIO,
            operations: 0,
            true_size: size,
            can_discard: false,
            unreadable_until_written: None,
        }
    }

    fn operation(&mut self) -> io::Result<()> {
        self.operations += 1;
        match self.fails_at {
            Some(at) if self.operations > at => Err(io::Error::from_raw_os_error(self.with)),
            _ => Ok(()),
        }
    }
}

impl Target for Memory {
    fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn write(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.operation()?;
        let at = at as usize;
        assert!(at.is_multiple_of(512) && bytes.len().is_multiple_of(512));
        let end = (at + bytes.len()).min(self.true_size).max(at);
        self.unreadable_until_written
            .take_if(|bad| (at..end).contains(bad));
        self.bytes[at..end].copy_from_slice(&bytes[..end - at]);
        Ok(())
    }

    fn read(&mut self, at: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.operation()?;
        let at = at as usize;
        let range = at..at + bytes.len();
        if self
            .unreadable_until_written
            .is_some_and(|bad| range.contains(&bad))
        {
            return Err(io::Error::from_raw_os_error(libc::EIO));
        }
        bytes.copy_from_slice(&self.bytes[at..at + bytes.len()]);
        Ok(())
    }

    fn discard(&mut self, at: u64, len: u64) {
        if self.can_discard {
            self.bytes[at as usize..(at + len) as usize].fill(0);
        }
    }

    fn sync(&mut self) -> io::Result<()> {
        self.operation()
    }
}

struct Pieces(std::vec::IntoIter<Result<Piece, Error>>);

impl Source for Pieces {
    fn next(&mut self) -> Result<Option<Piece>, Error> {
        self.0.next().transpose()
    }
}

fn source(pieces: &[Piece]) -> Pieces {
    let pieces: Vec<_> = pieces.iter().cloned().map(Ok).collect();
    Pieces(pieces.into_iter())
}

/// An image of 12 MiB: `esp` at 2, `slot-a` at 4, `data` at 8 MiB.
fn image() -> (Gpt, Vec<u8>, Vec<Piece>) {
    let mib = |n: u64| n * MIB as u64 / SECTOR;
    let head = crate::gpt::tests::head(&[
        ("bios", mib(1), mib(2) - 1),
        ("esp", mib(2), mib(4) - 1),
        ("slot-a", mib(4), mib(8) - 1),
        ("data", mib(8), mib(12) - 1),
    ]);
    let table = Gpt::parse(&head).unwrap();
    let data = |mib: usize, len: usize, byte: u8| Piece::Data {
        at: (mib * MIB) as u64,
        bytes: vec![byte; len],
    };
    let range = |from: usize, to: usize| (from * MIB) as u64..(to * MIB) as u64;
    let pieces = vec![
        Piece::Data {
            at: 0,
            bytes: head.clone(),
        },
        data(1, MIB, 1),
        data(2, MIB, 2),
        Piece::Gap(range(3, 4)),
        data(4, MIB, 4),
        Piece::Gap(range(5, 8)),
        data(8, MIB, 8),
        Piece::Zeros(range(9, 11)),
        Piece::Gap(range(11, 12)),
    ];
    (table, head, pieces)
}

fn job(table: &Gpt, head: &[u8], size: usize) -> Job {
    let mut head = head.to_vec();
    let tail = table.fit(&mut head, size as u64).unwrap();
    let range = tail.0..tail.0 + tail.1.len() as u64;
    Job {
        head,
        layout: Layout::new(table, &range, &[]),
        tail,
        held: Vec::new(),
        total: 12 << 20,
    }
}

fn run(disk: &mut Memory, job: &Job, pieces: &[Piece]) -> Result<Done, Failure> {
    let stop = AtomicBool::new(false);
    let path = Path::new("/dev/test");
    write(&mut source(pieces), disk, job, path, &mut Silent, &stop)
}

/// No firmware finds anything on it.
fn looks_empty(disk: &Memory) -> bool {
    let end = disk.bytes.len() - MIB;
    is_zero(&disk.bytes[..MIB]) && is_zero(&disk.bytes[end..])
}

#[test]
fn an_image_is_written_and_gaps_are_zeros_where_file_systems_are() {
    let (table, head, pieces) = image();
    for can_discard in [false, true] {
        let mut disk = Memory::new(20 * MIB);
        disk.can_discard = can_discard;
        let job = job(&table, &head, disk.bytes.len());
        let done = run(&mut disk, &job, &pieces).unwrap();
        assert!(done.verified >= done.written + done.zeros);
        let byte = |mib: usize| disk.bytes[mib * MIB + MIB / 2];
        let found: Vec<u8> = (1..13).map(byte).collect();
        // The gap of the slot, and what is behind the image, stays as it was.
        assert_eq!(found, [1, 2, 0, 4, 0xaa, 0xaa, 0xaa, 8, 0, 0, 0, 0xaa]);
        let read = Gpt::parse(&disk.bytes[..MIB]).unwrap();
        assert_eq!(read.partitions(), table.partitions());
        assert_eq!(read.disk_size(), 20 * MIB as u64);
    }
}

#[test]
fn wherever_the_disk_fails_it_does_not_look_bootable() {
    let (table, head, pieces) = image();
    let job = job(&table, &head, 20 * MIB);
    let mut whole = Memory::new(20 * MIB);
    run(&mut whole, &job, &pieces).unwrap();
    // The last operations: write the tail, sync, write the head, sync, read both.
    let head_written = whole.operations - 4;
    for n in 0..whole.operations {
        let mut disk = Memory::new(20 * MIB);
        disk.fails_at = Some(n);
        disk.with = if n % 2 == 0 { libc::EIO } else { libc::ENODEV };
        let failure = run(&mut disk, &job, &pieces).unwrap_err();
        let text = failure.error.to_string();
        assert!(text.contains("/dev/test: "), "{text}");
        assert_eq!(failure.error.exit_code(), 1);
        assert_eq!(failure.error.code(), "disk_failed");
        let state = failure.state;
        match n {
            // The erasing itself failed.
            0..3 => assert_eq!(state, State::NotBootable),
            _ if n < head_written => {
                assert_eq!(state, State::NotBootable, "operation {n}");
                assert!(is_zero(&disk.bytes[..MIB]), "operation {n}");
                let tail_is_there = n + 2 > head_written;
                assert!(tail_is_there || looks_empty(&disk), "operation {n}");
            }
            _ => assert_eq!(state, State::Unknown, "operation {n}"),
        }
        // Another run mends it.
        disk.fails_at = None;
        run(&mut disk, &job, &pieces).unwrap();
        assert_eq!(disk.bytes[..12 * MIB], whole.bytes[..12 * MIB]);
    }
}

#[test]
fn a_stick_that_is_smaller_than_it_says_is_found_out() {
    let (table, head, pieces) = image();
    let job = job(&table, &head, 20 * MIB);
    let mut disk = Memory::new(20 * MIB);
    disk.true_size = 8 * MIB + 4096;
    let failure = run(&mut disk, &job, &pieces).unwrap_err();
    let text = failure.error.to_string();
    assert!(text.contains("bytes 8388608 to"), "{text}");
    assert!(
        text.contains("expected") && text.contains("found"),
        "{text}"
    );
    assert_eq!(failure.error.exit_code(), 5);
    assert_eq!(failure.state, State::NotBootable);
    assert!(is_zero(&disk.bytes[..MIB]));
}

#[test]
fn an_image_that_turns_out_damaged_leaves_no_bootable_disk() {
    let (table, head, pieces) = image();
    let job = job(&table, &head, 20 * MIB);
    for n in 0..pieces.len() {
        let mut disk = Memory::new(20 * MIB);
        let mut list: Vec<_> = pieces.iter().take(n).cloned().map(Ok).collect();
        list.push(Err(Error::image(Path::new("x.img"), "damaged")));
        let mut source = Pieces(list.into_iter());
        let stop = AtomicBool::new(false);
        let path = Path::new("/dev/test");
        let failure = write(&mut source, &mut disk, &job, path, &mut Silent, &stop).unwrap_err();
        assert_eq!(failure.error.exit_code(), 3);
        assert_eq!(failure.state, State::NotBootable);
        assert!(looks_empty(&disk));
    }
}

#[test]
fn an_interrupt_before_the_first_write_leaves_the_disk_alone() {
    let (table, head, pieces) = image();
    let job = job(&table, &head, 20 * MIB);
    let mut disk = Memory::new(20 * MIB);
    let stop = AtomicBool::new(true);
    let path = Path::new("/dev/test");
    let mut source = source(&pieces);
    let failure = write(&mut source, &mut disk, &job, path, &mut Silent, &stop).unwrap_err();
    assert_eq!(failure.state, State::Untouched);
    assert_eq!(failure.error.exit_code(), 130);
    assert!(disk.bytes.iter().all(|b| *b == 0xaa));
}

#[test]
fn a_place_that_cannot_be_read_is_written() {
    let (table, head, pieces) = image();
    let job = job(&table, &head, 20 * MIB);
    let mut disk = Memory::new(20 * MIB);
    disk.unreadable_until_written = Some(10 * MIB);
    run(&mut disk, &job, &pieces).unwrap();
    assert_eq!(disk.bytes[10 * MIB], 0);
}

#[test]
fn an_interrupt_in_the_middle_ends_it_at_once() {
    struct Interrupting<'a>(Pieces, usize, &'a AtomicBool);
    impl Source for Interrupting<'_> {
        fn next(&mut self) -> Result<Option<Piece>, Error> {
            self.1 += 1;
            self.2.fetch_or(self.1 == 3, Ordering::Relaxed);
            self.0.next()
        }
    }
    let (table, head, pieces) = image();
    let job = job(&table, &head, 20 * MIB);
    let mut disk = Memory::new(20 * MIB);
    let stop = AtomicBool::new(false);
    let path = Path::new("/dev/test");
    let mut source = Interrupting(source(&pieces), 0, &stop);
    let failure = write(&mut source, &mut disk, &job, path, &mut Silent, &stop).unwrap_err();
    assert_eq!(failure.state, State::NotBootable);
    assert_eq!(failure.error.exit_code(), 130);
    assert_eq!(disk.bytes[8 * MIB], 0xaa, "it went on");
    assert!(looks_empty(&disk));
}

#[test]
fn a_part_from_memory_takes_the_place_of_the_image_s() {
    let (table, head, pieces) = image();
    let mut job = job(&table, &head, 20 * MIB);
    let mut esp = vec![0; 2 * MIB];
    esp[MIB..].fill(7);
    let range = 2 * MIB as u64..4 * MIB as u64;
    let tail = job.tail.0..job.tail.0 + job.tail.1.len() as u64;
    job.layout = Layout::new(&table, &tail, &[range]);
    job.held.push((2 * MIB as u64, esp.clone()));
    let mut disk = Memory::new(20 * MIB);
    run(&mut disk, &job, &pieces).unwrap();
    assert_eq!(disk.bytes[2 * MIB..4 * MIB], esp);
    assert!(disk.bytes[4 * MIB..5 * MIB].iter().all(|b| *b == 4));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever the image is cut into, the disk has the image.
    #[test]
    fn any_cut_of_an_image_gives_the_same_disk(
        cuts in prop::collection::vec((1_usize..400, 0_u8..4), 1..40),
        extra in 0_usize..3,
    ) {
        let (table, head, _) = image();
        let size = 12 * MIB + (extra + 1) * MIB;
        let job = job(&table, &head, size);
        let mut expected = vec![0; 12 * MIB];
        let mut pieces = vec![Piece::Data { at: 0, bytes: head.clone() }];
        let mut at = MIB;
        for (n, (len, kind)) in cuts.iter().enumerate() {
            let end = (at + len * 4096).min(12 * MIB);
            if at == end { break; }
            let range = at as u64..end as u64;
            pieces.push(match kind {
                0 => Piece::Zeros(range),
                1 => Piece::Gap(range),
                _ => {
                    expected[at..end].fill(n as u8 + 1);
                    Piece::Data { at: at as u64, bytes: vec![n as u8 + 1; end - at] }
                }
            });
            at = end;
        }
        let mut disk = Memory::new(size);
        run(&mut disk, &job, &pieces).unwrap();
        // Gaps outside of file systems are nobody's.
        for piece in &pieces[1..] {
            let range = piece.range();
            let inside = range.start as usize..range.end as usize;
            let is_slot = range.start < 8 * MIB as u64 && range.end > 4 * MIB as u64 || range.start < 2 * MIB as u64;
            if !(is_slot && matches!(piece, Piece::Gap(_))) {
                prop_assert_eq!(&disk.bytes[inside.clone()], &expected[inside]);
            }
        }
    }
}
