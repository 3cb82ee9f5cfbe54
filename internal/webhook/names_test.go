package webhook

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func addrs(list ...string) (out []netip.Addr) {
	for _, s := range list {
		out = append(out, netip.MustParseAddr(s))
	}
	return out
}

// guardOf returns a guard with these names in its name server.
func guardOf(t testing.TB, names map[string][]answer) *Guard {
	return newGuard(t, GuardConfig{Allow: prefixes("10.9.0.0/16"), Resolver: newFakeDNS(names).resolver()})
}

func TestANameThatLeadsToClosedAddressesOnlyIsRefusedWhenItIsSubmitted(t *testing.T) {
	g := guardOf(t, map[string][]answer{
		"inside.example":   {{addrs: addrs("10.1.2.3", "fd00::1")}},
		"meta.example":     {{addrs: addrs("169.254.169.254")}},
		"loop.example":     {{addrs: addrs("127.0.0.1", "::1")}},
		"alias.example":    {{cname: "inside.example", addrs: addrs("192.168.0.1")}},
		"mapped.example":   {{addrs: addrs("::ffff:10.0.0.1")}},
		"opened.example":   {{addrs: addrs("10.9.0.1", "10.1.2.3")}},
		"mixed.example":    {{addrs: addrs("10.1.2.3", "93.184.215.14")}},
		"public.example":   {{addrs: addrs("93.184.215.14")}},
		"nothing.example":  {{}},
		"xn--bcher-kva.de": {{addrs: addrs("10.1.2.3")}},
	})
	for raw, refused := range map[string]string{
		"https://inside.example/hook":   "inside.example",
		"https://INSIDE.example.:8443/": "inside.example",
		"http://meta.example/":          "meta.example",
		"http://loop.example:9099/hook": "loop.example",
		"https://alias.example/":        "alias.example",
		"https://mapped.example/":       "mapped.example",
		"https://bücher.de/":            "xn--bcher-kva.de",
		"https://opened.example/":       "",
		"https://mixed.example/":        "", // the dial takes the open one
		"https://public.example/":       "",
		"https://nothing.example/":      "",
		"https://nowhere.example/":      "", // it may resolve later
		"https://93.184.215.14/":        "",
	} {
		_, err := g.CheckNewURL(raw)
		_, streamErr := g.CheckNewStreamURL(raw)
		if want := refused + " leads to a private address; the operator can open it with --allow-callback"; refused != "" {
			if err == nil || err.Error() != want || streamErr == nil || streamErr.Error() != want {
				t.Errorf("%s: got %v and %v, want %q", raw, err, streamErr, want)
			}
		} else if err != nil || streamErr != nil {
			t.Errorf("%s: got %v and %v, want it accepted", raw, err, streamErr)
		}
		if _, err := g.CheckURL(raw); err != nil {
			t.Errorf("CheckURL(%s): got %v; it looks up no name", raw, err)
		}
	}
}

func TestANameIsNotAskedForAgainForFiveMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := guardOf(t, map[string][]answer{
			"moves.example": {{addrs: addrs("93.184.215.14")}, {addrs: addrs("10.1.2.3")}},
			"back.example":  {{addrs: addrs("10.1.2.3")}, {addrs: addrs("93.184.215.14")}},
			"new.example":   {{}, {addrs: addrs("10.1.2.3")}},
		})
		refused := func(name string) bool {
			_, err := g.CheckNewURL("https://" + name + "/")
			return err != nil
		}
		for _, step := range []struct {
			after            time.Duration
			moves, back, new bool
		}{
			{0, false, true, false},
			{9 * time.Second, false, true, false},
			{2 * time.Second, false, true, true}, // what did not resolve is looked up again soon
			{4*time.Minute + 48*time.Second, false, true, true},
			{2 * time.Second, true, false, true},
		} {
			time.Sleep(step.after)
			if moves, back, fresh := refused("moves.example"), refused("back.example"), refused("new.example"); moves != step.moves || back != step.back || fresh != step.new {
				t.Errorf("after further %s: refused %v %v %v, want %v %v %v", step.after, moves, back, fresh, step.moves, step.back, step.new)
			}
		}
	})
}

func TestASilentNameServerHoldsASubmissionFor200ms(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGuard(t, GuardConfig{Resolver: silentDNS(t)})
		began := time.Now()
		var all sync.WaitGroup
		for i := range 10 * maxLookUps {
			all.Go(func() {
				if _, err := g.CheckNewURL(fmt.Sprintf("https://%d.example/", i%(2*maxLookUps))); err != nil {
					t.Errorf("got %v, want it accepted", err)
				}
			})
		}
		all.Wait()
		if took := time.Since(began); took > lookUpTimeout {
			t.Errorf("a flood of names took %s", took)
		}
		if len(g.names.running) != 0 {
			t.Errorf("%d look-ups still hold a place", len(g.names.running))
		}
	})
}

func TestLookUpsOfOneNameAreShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dns := newFakeDNS(map[string][]answer{"inside.example": {{addrs: addrs("10.1.2.3")}}}).resolver()
		var asked atomic.Int32
		g := newGuard(t, GuardConfig{Resolver: &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			asked.Add(1)
			time.Sleep(50 * time.Millisecond) // until all have arrived
			return dns.Dial(ctx, network, address)
		}}})
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() {
				if _, err := g.CheckNewURL("https://inside.example/"); err == nil {
					t.Error("inside.example was accepted")
				}
			})
		}
		all.Wait()
		if n := asked.Load(); n > 2 { // for A, and for AAAA
			t.Errorf("100 submissions asked the name server %d times", n)
		}
	})
}

func TestNamesThatAreRememberedAreBounded(t *testing.T) {
	n := newNames(nil, nil)
	for i := range maxKnown + 1000 {
		n.remember(fmt.Sprint(i), finding{until: time.Now().Add(knownFor)})
	}
	if len(n.known) != maxKnown {
		t.Errorf("%d names are remembered, want %d", len(n.known), maxKnown)
	}
}
