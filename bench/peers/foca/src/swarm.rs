use std::{
    cell::RefCell,
    cmp::Reverse,
    collections::{BinaryHeap, HashMap, HashSet, VecDeque},
    io,
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
    num::NonZeroU32,
    rc::Rc,
    time::{Duration, Instant},
};

use foca::{Config, Foca, Notification, PostcardCodec, Runtime, Timer};
use mio::{Events, Interest, Poll, Token, net::UdpSocket};
use rand::{Rng, SeedableRng, rngs::StdRng};

use crate::{
    identity::Id,
    meter::Traffic,
    storm_handler::{Receipts, Tally},
};

type Machine = Foca<Id, PostcardCodec, StdRng, Receipts>;

/// Foca sends an announce once; one that got no answer so long is sent again.
const ANNOUNCE_AGAIN: Duration = Duration::from_secs(1);
/// The kernel's longest datagram.
const RECEIVE_BYTES: usize = 65_536;

pub struct Node {
    pub id: Id,
    pub foca: Machine,
    /// None: closed.
    socket: Option<UdpSocket>,
    /// Nothing is read from the socket and nothing sent.
    is_silent: bool,
}

/// What is counted of a node, apart from the node so that its machine may change it.
#[derive(Clone, Copy)]
struct Count {
    known: usize,
    is_removed: bool,
}

/// Counts and timers of all nodes.
struct Board {
    timers: BinaryHeap<Reverse<(Instant, usize, Timer<Id>)>>,
    traffic: Traffic,
    counts: Vec<Count>,
    /// How many nodes know so many members.
    nodes_at: Vec<usize>,
    sizes_seen: HashSet<usize>,
    expected: HashSet<SocketAddrV4>,
    false_failures: usize,
    /// By member under observation: when each observer was told that it is down.
    told: HashMap<SocketAddrV4, HashMap<usize, Instant>>,
}

/// All nodes on one thread: epoll, one recvfrom and one sendto a datagram, a heap of timers.
pub struct Swarm {
    pub nodes: Vec<Node>,
    pub random: StdRng,
    pub tally: Rc<RefCell<Tally>>,
    board: Board,
    poll: Poll,
    joining: VecDeque<usize>,
    announced: Vec<(usize, Instant)>,
    seed: u64,
    expected_size: NonZeroU32,
}

impl Swarm {
    pub fn new(nodes: u32, seed: u64) -> io::Result<Self> {
        let board = Board {
            timers: BinaryHeap::new(),
            traffic: Traffic::default(),
            counts: Vec::new(),
            nodes_at: vec![0; 2 * nodes as usize + 2],
            sizes_seen: HashSet::new(),
            expected: HashSet::new(),
            false_failures: 0,
            told: HashMap::new(),
        };
        Ok(Self {
            nodes: Vec::new(),
            random: StdRng::seed_from_u64(seed),
            tally: Rc::default(),
            board,
            poll: Poll::new()?,
            joining: VecDeque::new(),
            announced: Vec::new(),
            seed,
            expected_size: NonZeroU32::new(nodes).unwrap_or(NonZeroU32::MIN),
        })
    }

    pub fn open(&mut self, count: usize) -> io::Result<Vec<usize>> {
        (0..count).map(|_| self.open_one()).collect()
    }

    /// Joins the nodes through the first one; `run` does it, so many at the same time.
    pub fn join(&mut self, nodes: &[usize]) {
        self.joining.extend(nodes);
    }

    pub fn is_complete(&self) -> bool {
        let live = self.board.counts.iter().filter(|count| !count.is_removed).count();
        self.board.nodes_at[live] == live
    }

    pub fn live(&self) -> Vec<usize> {
        (0..self.nodes.len())
            .filter(|&i| !self.board.counts[i].is_removed)
            .collect()
    }

    pub fn traffic(&self) -> Traffic {
        self.board.traffic
    }

    pub fn sizes_seen(&self) -> usize {
        self.board.sizes_seen.len()
    }

    pub fn false_failures(&self) -> usize {
        self.board.false_failures
    }

    pub fn below(&mut self, limit: usize) -> usize {
        (self.random.next_u64() % limit as u64) as usize
    }

    /// Picks nodes and takes them out of the counts; losing them is no false failure and is watched.
    pub fn take(&mut self, count: usize) -> Vec<usize> {
        self.board.told.clear();
        let mut live = self.live();
        (0..count)
            .map(|_| {
                let at = 1 + self.below(live.len() - 1);
                let victim = live.swap_remove(at);
                self.board.remove(victim);
                let addr = self.nodes[victim].id.addr;
                self.board.expected.insert(addr);
                self.board.told.insert(addr, HashMap::new());
                victim
            })
            .collect()
    }

    /// When each observer was told, by victim.
    pub fn told(&self) -> impl Iterator<Item = &HashMap<usize, Instant>> {
        self.board.told.values()
    }

    pub fn told_count(&self) -> usize {
        self.board.told.values().map(HashMap::len).sum()
    }

    /// The socket stays open, but nobody reads it.
    pub fn silence(&mut self, victim: usize) {
        self.nodes[victim].is_silent = true;
    }

    pub fn close(&mut self, victim: usize) {
        self.nodes[victim].socket = None;
    }

    pub fn leave(&mut self, victim: usize) {
        self.interact(victim, |foca, outlet| foca.leave_cluster(outlet));
        self.close(victim);
    }

    pub fn broadcast(&mut self, from: usize, payload: &[u8]) {
        let _ = self.nodes[from].foca.add_broadcast(payload);
    }

    /// Serves all nodes until the condition holds; false when it does not within the limit.
    pub fn run(
        &mut self,
        limit: Duration,
        parallel: usize,
        mut is_over: impl FnMut(&mut Self) -> bool,
    ) -> io::Result<bool> {
        let end = Instant::now() + limit;
        let mut events = Events::with_capacity(1024);
        let mut buffer = vec![0; RECEIVE_BYTES];
        loop {
            self.fire();
            self.announce(parallel);
            if is_over(self) {
                return Ok(true);
            }
            let now = Instant::now();
            if now >= end {
                return Ok(false);
            }
            let next = self.board.timers.peek().map_or(end, |Reverse((at, ..))| *at);
            let mut wait = next.min(end).saturating_duration_since(now);
            if !self.announced.is_empty() {
                wait = wait.min(ANNOUNCE_AGAIN);
            }
            match self.poll.poll(&mut events, Some(wait)) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
            for event in &events {
                self.receive(event.token().0, &mut buffer);
            }
        }
    }

    /// Lets real time pass.
    pub fn pass(&mut self, time: Duration) -> io::Result<()> {
        self.run(time, 1, |_| false).map(|_| ())
    }

    fn open_one(&mut self) -> io::Result<usize> {
        let index = self.nodes.len();
        let mut socket = UdpSocket::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        let SocketAddr::V4(addr) = socket.local_addr()? else {
            return Err(io::Error::other("not an IPv4 address"));
        };
        self.poll
            .registry()
            .register(&mut socket, Token(index), Interest::READABLE)?;
        let id = Id::new(addr);
        let random = StdRng::seed_from_u64(self.seed * 10_000 + index as u64);
        let config = Config::new_lan(self.expected_size);
        let receipts = Receipts::new(Rc::clone(&self.tally));
        let foca = Foca::with_custom_broadcast(id, config, random, PostcardCodec, receipts);
        self.nodes.push(Node {
            id,
            foca,
            socket: Some(socket),
            is_silent: false,
        });
        self.board.counts.push(Count {
            known: 1,
            is_removed: false,
        });
        self.board.nodes_at[1] += 1;
        self.board.sizes_seen.insert(1);
        Ok(index)
    }

    fn fire(&mut self) {
        let now = Instant::now();
        while let Some(Reverse((at, ..))) = self.board.timers.peek() {
            if *at > now {
                return;
            }
            if let Some(Reverse((_, index, timer))) = self.board.timers.pop() {
                self.interact(index, |foca, outlet| foca.handle_timer(timer, outlet));
            }
        }
    }

    /// Keeps `parallel` joins under way; one is over when the node knows somebody.
    fn announce(&mut self, parallel: usize) {
        if self.joining.is_empty() && self.announced.is_empty() {
            return;
        }
        let now = Instant::now();
        let counts = &self.board.counts;
        self.announced.retain(|&(index, _)| counts[index].known == 1);
        let mut due: Vec<usize> = Vec::new();
        for (index, at) in &mut self.announced {
            if now.duration_since(*at) >= ANNOUNCE_AGAIN {
                *at = now;
                due.push(*index);
            }
        }
        while self.announced.len() < parallel {
            let Some(index) = self.joining.pop_front() else { break };
            self.announced.push((index, now));
            due.push(index);
        }
        let to = self.nodes[0].id;
        for index in due {
            self.interact(index, |foca, outlet| foca.announce(to, outlet));
        }
    }

    fn receive(&mut self, index: usize, buffer: &mut [u8]) {
        while let Node {
            socket: Some(socket),
            is_silent: false,
            ..
        } = &self.nodes[index]
        {
            match socket.recv_from(buffer) {
                Ok((length, _)) => {
                    let data = &buffer[..length];
                    self.interact(index, |foca, outlet| foca.handle_data(data, outlet));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => {}
            }
        }
    }

    /// Foca is tolerant: what one datagram or timer brought about is no reason to stop.
    fn interact(&mut self, index: usize, act: impl FnOnce(&mut Machine, Outlet<'_>) -> Result<(), foca::Error>) {
        let board = &mut self.board;
        if let Node {
            foca,
            socket: Some(socket),
            is_silent: false,
            ..
        } = &mut self.nodes[index]
        {
            let _ = act(foca, Outlet { index, socket, board });
        }
    }
}

impl Board {
    fn change(&mut self, index: usize, known: usize) {
        self.nodes_at[self.counts[index].known] -= 1;
        self.counts[index].known = known;
        self.nodes_at[known] += 1;
        self.sizes_seen.insert(known);
    }

    fn remove(&mut self, index: usize) {
        self.nodes_at[self.counts[index].known] -= 1;
        self.counts[index].is_removed = true;
    }
}

/// Does at once what a machine asks for.
pub struct Outlet<'a> {
    index: usize,
    socket: &'a UdpSocket,
    board: &'a mut Board,
}

impl Runtime<Id> for Outlet<'_> {
    fn notify(&mut self, notification: Notification<'_, Id>) {
        let count = self.board.counts[self.index];
        if count.is_removed {
            return;
        }
        match notification {
            Notification::MemberUp(_) => self.board.change(self.index, count.known + 1),
            Notification::MemberDown(gone) => {
                self.board.change(self.index, count.known - 1);
                if !self.board.expected.contains(&gone.addr) {
                    self.board.false_failures += 1;
                }
                if let Some(told) = self.board.told.get_mut(&gone.addr) {
                    told.entry(self.index).or_insert_with(Instant::now);
                }
            }
            _ => {}
        }
    }

    fn send_to(&mut self, to: Id, data: &[u8]) {
        if self.socket.send_to(data, SocketAddr::V4(to.addr)).is_ok() {
            self.board.traffic.packets += 1;
            self.board.traffic.bytes += data.len() as u64;
        }
    }

    fn submit_after(&mut self, event: Timer<Id>, after: Duration) {
        let at = Instant::now() + after;
        self.board.timers.push(Reverse((at, self.index, event)));
    }
}
