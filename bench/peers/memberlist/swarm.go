package main

import (
	"crypto/rand"
	"fmt"
	mathrand "math/rand"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/memberlist"
)

const (
	host          = "127.0.0.1"
	keyBytes      = 32
	pollEvery     = 2 * time.Millisecond
	joinAgain     = 500 * time.Millisecond
	mostSizesSeen = 1 << 14
)

// seat is one node and what is counted of it.
type seat struct {
	name      string
	list      *memberlist.Memberlist
	transport *transport
	news      *news
	swarm     *swarm

	lock      sync.Mutex
	known     int
	isRemoved bool
}

// swarm is all nodes; they end with the process. It counts events instead of asking every node again and again.
type swarm struct {
	traffic       traffic
	seats         []*seat
	random        *mathrand.Rand
	key           []byte
	joinsRetried  atomic.Int64
	falseFailures atomic.Int64
	// onGone is told of each member that a node has lost.
	onGone atomic.Pointer[func(about, observer string)]

	canMute  bool
	withNews bool
	opened   int
	expected sync.Map
	// seatsAt counts the nodes that know so many members.
	seatsAt   [mostSizesSeen]atomic.Int64
	sizesSeen [mostSizesSeen]atomic.Bool
}

func newSwarm(o options) (*swarm, error) {
	key := make([]byte, keyBytes)
	if _, err := rand.Read(key); err != nil {
		return nil, err
	}
	return &swarm{key: key, random: mathrand.New(mathrand.NewSource(o.seed)), canMute: o.fault == "silent"}, nil
}

// open adds nodes, each alone.
func (s *swarm) open(count int) ([]*seat, error) {
	var opened []*seat
	for range count {
		one, err := s.openSeat()
		if err != nil {
			return nil, err
		}
		opened = append(opened, one)
	}
	return opened, nil
}

// openSeat takes the LAN defaults as they are: only the key, the address and where logs go differ.
func (s *swarm) openSeat() (*seat, error) {
	one := &seat{name: fmt.Sprintf("node-%04d", s.opened), swarm: s}
	s.opened++
	transport, err := newTransport(&s.traffic, s.canMute)
	if err != nil {
		return nil, err
	}
	one.transport = transport
	config := memberlist.DefaultLANConfig()
	config.Name = one.name
	config.BindAddr = host
	config.BindPort = transport.GetAutoBindPort()
	config.AdvertisePort = config.BindPort
	config.Transport = transport
	config.SecretKey = s.key
	config.Events = one
	config.Logger = silence()
	if s.withNews {
		one.news = newNews(one)
		config.Delegate = one.news
	}
	s.count(0, 1)
	if one.list, err = memberlist.Create(config); err != nil {
		return nil, err
	}
	s.seats = append(s.seats, one)
	return one, nil
}

// join lets the nodes join through the first one, so many at the same time. A join that is refused is tried again.
func (s *swarm) join(joining []*seat, parallel int, limit time.Duration) {
	seed := s.seats[0].list.LocalNode().Address()
	work := make(chan *seat)
	deadline := time.Now().Add(limit)
	for range min(parallel, len(joining)) {
		go func() {
			for one := range work {
				for {
					if _, err := one.list.Join([]string{seed}); err == nil || time.Now().After(deadline) {
						break
					}
					s.joinsRetried.Add(1)
					time.Sleep(joinAgain)
				}
			}
		}()
	}
	for _, one := range joining {
		work <- one
	}
	close(work)
}

// gather joins the nodes and waits until every node knows all; false when that did not come in time.
func (s *swarm) gather(joining []*seat, o options) bool {
	done := make(chan struct{})
	go func() {
		s.join(joining, o.parallel, o.limit)
		close(done)
	}()
	hasAll := wait(func() bool { return s.isComplete(len(s.seats)) }, o.limit)
	<-done
	return hasAll
}

// start opens a cluster of o.nodes and joins it; between both it calls before().
func start(o options, s *swarm, before func()) (bool, error) {
	opened, err := s.open(o.nodes)
	if err != nil {
		return false, err
	}
	before()
	return s.gather(opened[1:], o), nil
}

func (s *swarm) isComplete(members int) bool {
	return s.seatsAt[members].Load() == int64(len(s.seats))
}

func (s *swarm) sizes() int {
	count := 0
	for i := 1; i < mostSizesSeen; i++ {
		if s.sizesSeen[i].Load() {
			count++
		}
	}
	return count
}

// take picks nodes and takes them out of the counts; they stay open. Losing them is no false failure.
func (s *swarm) take(count int) []*seat {
	var taken []*seat
	for range count {
		i := 1 + s.random.Intn(len(s.seats)-1)
		one := s.seats[i]
		s.seats = append(s.seats[:i], s.seats[i+1:]...)
		one.lock.Lock()
		one.isRemoved = true
		s.count(one.known, -1)
		one.lock.Unlock()
		s.expected.Store(one.name, true)
		taken = append(taken, one)
	}
	return taken
}

func (s *swarm) count(size int, by int64) {
	s.seatsAt[size].Add(by)
	s.sizesSeen[size].Store(true)
}

func (s *seat) NotifyJoin(*memberlist.Node) { s.change(1) }

func (s *seat) NotifyUpdate(*memberlist.Node) {}

func (s *seat) NotifyLeave(gone *memberlist.Node) {
	if !s.change(-1) {
		return
	}
	if _, isExpected := s.swarm.expected.Load(gone.Name); !isExpected {
		s.swarm.falseFailures.Add(1)
	}
	if tell := s.swarm.onGone.Load(); tell != nil {
		(*tell)(gone.Name, s.name)
	}
}

// change returns whether the node counts.
func (s *seat) change(by int) bool {
	s.lock.Lock()
	defer s.lock.Unlock()
	if s.isRemoved {
		return false
	}
	s.swarm.count(s.known, -1)
	s.known += by
	s.swarm.count(s.known, 1)
	return true
}

// wait looks again and again until the condition holds; false when it does not in time.
func wait(condition func() bool, limit time.Duration) bool {
	deadline := time.Now().Add(limit)
	for !condition() {
		if time.Now().After(deadline) {
			return false
		}
		time.Sleep(pollEvery)
	}
	return true
}
