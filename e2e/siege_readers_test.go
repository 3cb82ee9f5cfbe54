//go:build siege && unix

package e2e_test

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/coder/websocket"
)

// The readers of the siege. What they request is large, and most take their time.

// readSiege reads a path at that many bytes every 50 ms; 0: as fast as it arrives.
func readSiege(path func(g *target) string, key bool, piece int) func(context.Context, *target, *rand.Rand) string {
	return func(ctx context.Context, g *target, _ *rand.Rand) string {
		text := "GET " + path(g) + " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
		if key {
			text += "Authorization: Bearer " + siegeKey + "\r\n"
		}
		c, err := new(net.Dialer).DialContext(ctx, "tcp", g.address())
		if err != nil {
			return failed(err)
		}
		defer c.Close()
		defer context.AfterFunc(ctx, func() { c.Close() })()
		if piece > 0 {
			_ = c.(*net.TCPConn).SetReadBuffer(4 << 10)
		}
		if _, err := io.WriteString(c, text+"\r\n"); err != nil {
			return failed(err)
		}
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			return failed(err)
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			answer, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
			return answeredSo(resp, answer)
		}
		return "200, " + drain(ctx, resp.Body, piece)
	}
}

// drain returns how it ended.
func drain(ctx context.Context, in io.Reader, piece int) string {
	buffer := make([]byte, cmp.Or(piece, 64<<10))
	for {
		_, err := in.Read(buffer)
		switch {
		case errors.Is(err, io.EOF):
			return "whole"
		case ctx.Err() != nil:
			return "left in the middle"
		case err != nil:
			return "cut off"
		case piece > 0:
			if !sleep(ctx, 50*time.Millisecond) {
				return "left in the middle"
			}
		}
	}
}

func largeJob(g *target) string { return "/api/jobs/" + g.large }

func readerAttacks() []attack {
	list := func(query string) func(*target) string {
		return func(*target) string { return "/api/" + query }
	}
	return []attack{
		{"reader: a large answer", 16, 16 * time.Second, readSiege(largeJob, true, 0)},
		{"reader: a large answer, slowly", 16, 2 * time.Second, readSiege(largeJob, true, 16<<10)},
		{"reader: a large answer, waited for", 4, 4 * time.Second, readSiege(func(g *target) string { return largeJob(g) + "?wait=5&include=request" }, true, 64<<10)},
		{"reader: a large stream, slowly", 32, 2 * time.Second, readSiege(func(g *target) string { return g.largeWatch }, false, 4<<10)},
		{"reader: a large stream", 2, 16 * time.Second, readSiege(func(g *target) string { return g.largeWatch }, false, 0)},
		{"reader: a large WebSocket, slowly", 32, 2 * time.Second, watchSlowly},
		{"reader: lists", 2, time.Second, readSiege(list("jobs?limit=100"), true, 0)},
		{"reader: lists, slowly", 8, time.Second, readSiege(list("jobs?limit=100"), true, 1<<10)},
		{"reader: dead letters", 1, time.Second, readSiege(list("dead?limit=100"), true, 0)},
		{"reader: anybody's job", 4, time.Second, func(ctx context.Context, g *target, r *rand.Rand) string {
			job := g.book.anyJob(r)
			tail := []string{"", "?include=request", "/attempts", "/deliveries", "/stream"}[r.IntN(5)]
			return readSiege(func(*target) string { return "/api/jobs/" + job + tail }, true, r.IntN(2)*64<<10)(ctx, g, r)
		}},
	}
}

// watchSlowly watches over a WebSocket.
func watchSlowly(ctx context.Context, g *target, _ *rand.Rand) string {
	conn, resp, err := websocket.Dial(ctx, "ws://127.0.0.1"+strings.Replace(g.largeWatch, "/stream?", "/ws?", 1), &websocket.DialOptions{HTTPClient: siegeHTTP(g)})
	if err != nil {
		if resp != nil {
			return resp.Status
		}
		return failed(err)
	}
	defer conn.CloseNow()
	conn.SetReadLimit(-1)
	for {
		_, message, err := conn.Reader(ctx)
		if err == nil {
			_, err = io.Copy(io.Discard, message)
		}
		switch {
		case websocket.CloseStatus(err) == websocket.StatusNormalClosure:
			return "101, whole"
		case ctx.Err() != nil:
			return "101, left in the middle"
		case err != nil:
			return "101, cut off"
		case !sleep(ctx, 200*time.Millisecond):
			return "101, left in the middle"
		}
	}
}

// anyJob returns one of the accepted jobs.
func (b *logbook) anyJob(r *rand.Rand) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.jobs) == 0 {
		return "none"
	}
	return b.jobs[r.IntN(len(b.jobs))]
}
