package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
)

// floor is no contender either: a process that only writes a ready text to all its
// connections. No server can deliver an event to many readers sooner, on the machine that
// it shares with them.
const floor = "floor"

// floorText is the text; its size is that of an event.
type floorText struct {
	Written int64  `json:"written"` // nanoseconds since 1970
	Padding string `json:"padding"`
}

var padding = strings.Repeat("x", 100)

// floor notes how late such texts are read, by as many readers, and as often, as a shape
// has for its one job. Writer writes them, to connections that it makes to an address.
func (b *bench) floor(ctx context.Context, s shape, writer func(ctx context.Context, addr string, s shape) error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer func() { _ = l.Close() }()
	all := make([]*reader, s.readers)
	r := &run{start: time.Now()}
	var group errgroup.Group
	group.Go(func() error { return writer(ctx, l.Addr().String(), s) })
	for i := range all {
		conn, err := l.Accept()
		if err != nil {
			return errors.Join(err, group.Wait())
		}
		all[i] = &reader{conn: conn, body: bufio.NewReaderSize(conn, 1<<10)}
		group.Go(func() error { return all[i].read(ctx, r) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	var late []int64
	for _, rd := range all {
		if len(rd.seen) != s.behaviour.pieces {
			return fmt.Errorf("a reader has read %d texts of %d", len(rd.seen), s.behaviour.pieces)
		}
		for _, a := range rd.seen {
			var text floorText
			if err := json.Unmarshal(a.data, &text); err != nil {
				return err
			}
			late = append(late, r.start.UnixNano()+a.at-text.Written)
		}
	}
	b.noteLate(floor, s, late)
	return nil
}

// writeElsewhere runs writeTexts in another process.
func writeElsewhere(ctx context.Context, addr string, s shape) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	pause := s.behaviour.stream / time.Duration(s.behaviour.pieces)
	out, err := exec.CommandContext(ctx, self, floor, addr, strconv.Itoa(s.readers), strconv.Itoa(s.behaviour.pieces), pause.String()).CombinedOutput() //nolint:gosec // this program
	if err != nil {
		return fmt.Errorf("write texts: %w: %s", err, out)
	}
	return nil
}

// writeFloor is the main function of that process: floor ADDRESS READERS TEXTS PAUSE.
func writeFloor(args []string) error {
	readers, _ := strconv.Atoi(args[1])
	texts, _ := strconv.Atoi(args[2])
	pause, err := time.ParseDuration(args[3])
	if err != nil {
		return err
	}
	return writeTexts(args[0], readers, texts, pause)
}

// writeTexts writes each text to all readers at once, from as many goroutines as there
// are processors, then closes their connections.
func writeTexts(addr string, readers, texts int, pause time.Duration) error {
	conns := make([]syscall.RawConn, readers)
	for i := range conns {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			return err
		}
		defer func() { _ = conn.Close() }()
		if conns[i], err = conn.(*net.TCPConn).SyscallConn(); err != nil {
			return err
		}
	}
	parts := min(runtime.GOMAXPROCS(0), readers)
	for range texts {
		time.Sleep(pause)
		text, err := json.Marshal(floorText{time.Now().UnixNano(), padding})
		if err != nil {
			return err
		}
		text = fmt.Appendf(nil, "data: %s\n\n", text)
		var all sync.WaitGroup
		for p := range parts {
			all.Go(func() {
				for _, c := range conns[p*readers/parts : (p+1)*readers/parts] {
					_ = c.Write(func(fd uintptr) bool { _, _ = syscall.Write(int(fd), text); return true }) // a reader misses what fails
				}
			})
		}
		all.Wait()
	}
	return nil
}
