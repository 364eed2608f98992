package main

import (
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/memberlist"
)

const (
	broadcastsPerSecond = 1000
	payloadBytes        = 256
	tick                = 10 * time.Millisecond
	// drainShare is how much longer than it lasted is waited for what it left in the queues.
	drainShare = 2
)

// news spreads broadcasts of the application as its documentation proposes: a queue of the library's own type, and
// what was heard for the first time is queued again.
type news struct {
	queue   memberlist.TransmitLimitedQueue
	storm   atomic.Pointer[tally]
	lock    sync.Mutex
	got     []bool
	latency []float64
	repeats int
}

// tally is what is common to all nodes: when which broadcast was sent.
type tally struct {
	sentAt []atomic.Int64
	began  time.Time
}

func newNews(one *seat) *news {
	n := &news{}
	n.queue.RetransmitMult = memberlist.DefaultLANConfig().RetransmitMult
	n.queue.NumNodes = func() int {
		one.lock.Lock()
		defer one.lock.Unlock()
		return one.known
	}
	return n
}

func (n *news) NodeMeta(int) []byte { return nil }
func (n *news) GetBroadcasts(overhead, limit int) [][]byte {
	return n.queue.GetBroadcasts(overhead, limit)
}
func (n *news) LocalState(bool) []byte        { return nil }
func (n *news) MergeRemoteState([]byte, bool) {}

func (n *news) NotifyMsg(message []byte) {
	storm := n.storm.Load()
	if storm == nil || len(message) != payloadBytes {
		return
	}
	index := binary.BigEndian.Uint32(message)
	if !n.mark(index) {
		return
	}
	sent := time.Duration(storm.sentAt[index].Load())
	n.lock.Lock()
	n.latency = append(n.latency, milliseconds(time.Since(storm.began)-sent))
	n.lock.Unlock()
	n.queue.QueueBroadcast(payloadOf(slices.Clone(message)))
}

// mark returns whether this is the first time.
func (n *news) mark(index uint32) bool {
	n.lock.Lock()
	defer n.lock.Unlock()
	if n.got[index] {
		n.repeats++
		return false
	}
	n.got[index] = true
	return true
}

// payloadOf is a broadcast that nothing replaces.
type payloadOf []byte

func (p payloadOf) Invalidates(memberlist.Broadcast) bool { return false }
func (p payloadOf) Message() []byte                       { return p }
func (p payloadOf) Finished()                             {}
func (p payloadOf) UniqueBroadcast()                      {}

// storm crashes a tenth of the nodes, and at the same moment the others begin to send broadcasts, each time another.
func storm(o options) (report, error) {
	s, err := newSwarm(o)
	if err != nil {
		return nil, err
	}
	s.withNews = true
	hasAll, err := start(o, s, func() {})
	if err != nil {
		return nil, err
	}
	if !hasAll {
		return s.unconverged(o), nil
	}
	time.Sleep(settleTime)
	victims := s.take(max(1, o.nodes/10))
	total := int(o.seconds * broadcastsPerSecond)
	all := &tally{sentAt: make([]atomic.Int64, total), began: time.Now()}
	for _, one := range s.seats {
		one.news.got = make([]bool, total)
		one.news.storm.Store(all)
	}
	flood := newMeter(s)
	for _, victim := range victims {
		go func() { _ = victim.list.Shutdown() }()
	}
	crashAll := make(chan float64)
	go func() {
		if wait(func() bool { return s.isComplete(len(s.seats)) }, detectLimit) {
			crashAll <- milliseconds(time.Since(all.began))
		}
		close(crashAll)
	}()
	sendAll(s, all)
	wait(func() bool { return queued(s) == 0 }, seconds(drainShare*o.seconds))
	crashAllMs, isKnown := <-crashAll
	took := flood.stop()
	figures := s.verdict(o)
	if !isKnown {
		figures = s.verdict(o, fmt.Sprintf("the crash of a tenth did not end within %v s", detectLimit.Seconds()))
	}
	figures["crashed"] = len(victims)
	figures["crashAllMs"] = crashAllMs
	addReceipts(figures, s, total)
	figures["elapsedMs"] = milliseconds(took.elapsed)
	figures["cpuSeconds"] = round(took.cpu)
	figures["rssMb"] = megabytes(rssBytes())
	figures["packets"] = took.packets
	figures["bytes"] = took.bytes
	return figures, nil
}

// sendAll sends as many as are due at each tick; one that is late sends what it missed.
func sendAll(s *swarm, all *tally) {
	for sent := 0; sent < len(all.sentAt); time.Sleep(tick) {
		due := min(len(all.sentAt), int(time.Since(all.began).Seconds()*broadcastsPerSecond))
		for ; sent < due; sent++ {
			payload := make([]byte, payloadBytes)
			binary.BigEndian.PutUint32(payload, uint32(sent))
			all.sentAt[sent].Store(int64(time.Since(all.began)))
			from := s.seats[s.random.Intn(len(s.seats))].news
			from.mark(uint32(sent))
			from.queue.QueueBroadcast(payloadOf(payload))
		}
	}
}

func queued(s *swarm) int {
	deepest := 0
	for _, one := range s.seats {
		deepest = max(deepest, one.news.queue.NumQueued())
	}
	return deepest
}

func addReceipts(figures report, s *swarm, sent int) {
	var latency []float64
	repeats := 0
	for _, one := range s.seats {
		one.news.lock.Lock()
		latency = append(latency, one.news.latency...)
		repeats += one.news.repeats
		one.news.lock.Unlock()
	}
	figures["broadcasts"] = sent
	figures["delivered"] = len(latency)
	figures["deliveredShare"] = round(float64(len(latency)) / float64(sent*(len(s.seats)-1)))
	figures["duplicates"] = repeats
	figures["latencyMs"] = spreadOf(latency)
	figures["leftInQueue"] = queued(s)
}
