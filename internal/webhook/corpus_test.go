package webhook

import (
	"bufio"
	"errors"
	"net"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/ringback/ringback"
)

// corpusRow is a line of callback-urls.tsv or stream-urls.tsv; the head of the former
// explains it.
type corpusRow struct {
	line         int
	block        bool
	submit       bool
	url, why     string
	answers      []answer
	answersFirst []netip.Addr
}

// self is the address that the corpus calls "self".
var self = netip.MustParseAddr("93.184.215.20")

func readCorpus(t testing.TB) []corpusRow {
	rows := readRows(t, "testdata/callback-urls.tsv")
	if len(rows) < 100 {
		t.Fatalf("the corpus has %d rows", len(rows))
	}
	return rows
}

func readRows(t testing.TB, file string) []corpusRow {
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var rows []corpusRow
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		if strings.HasPrefix(lines.Text(), "#") {
			continue
		}
		fields := strings.Split(lines.Text(), "\t")
		if len(fields) != 4 {
			t.Fatalf("line %d of the corpus has %d fields", n, len(fields))
		}
		raw, err := strconv.Unquote(`"` + fields[2] + `"`)
		if err != nil {
			t.Fatalf("line %d of the corpus: %v", n, err)
		}
		row := corpusRow{line: n, block: fields[0] == "block", submit: fields[1] == "submit", url: raw, why: fields[3]}
		if !row.submit {
			row.parseAnswers(t)
		}
		rows = append(rows, row)
	}
	if err := lines.Err(); err != nil || len(rows) == 0 {
		t.Fatalf("%s has %d rows, error %v", file, len(rows), err)
	}
	return rows
}

// parseAnswers parses the text in brackets: "A 93.184.215.14, then 127.0.0.1".
func (r *corpusRow) parseAnswers(t testing.TB) {
	r.answers = []answer{{}}
	for part := range strings.SplitSeq(r.why, "]") {
		_, part, found := strings.Cut(part, "[")
		part, _, _ = strings.Cut(part, ";") // "answers 302, …" does not come from the name server
		for record := range strings.SplitSeq(part, ", ") {
			if !found {
				break
			}
			kind, value, _ := strings.Cut(record, " ")
			last := &r.answers[len(r.answers)-1]
			switch {
			case kind == "CNAME":
				last.cname = value
			case kind == "then":
				r.answers = append(r.answers, answer{addrs: []netip.Addr{netip.MustParseAddr(value)}})
			case value == "self":
				last.addrs = append(last.addrs, self)
			case kind == "A" || kind == "AAAA":
				last.addrs = append(last.addrs, netip.MustParseAddr(value))
			default:
				t.Fatalf("line %d of the corpus: what is %q?", r.line, record)
			}
		}
	}
	r.answersFirst = slices.Clone(r.answers[0].addrs)
	if len(r.answersFirst) == 0 {
		t.Fatalf("line %d of the corpus: no address in %q", r.line, r.why)
	}
}

// stopping is a sender whose dials end once the guard has allowed them: no connection is
// opened.
type stopping struct {
	*Sender
	mu     sync.Mutex
	asked  []netip.Addr
	passed []netip.Addr
}

var errNoConnection = errors.New("the guard has passed this dial, and the test ends it")

func newStopping(t *testing.T, g *Guard, dns *net.Resolver) *stopping {
	s := &stopping{Sender: newSender(t, SenderConfig{Guard: g, Resolver: dns})}
	s.dialer.control = func(network, address string, c syscall.RawConn) error {
		addr := netip.MustParseAddrPort(address).Addr()
		err := g.Control(network, address, c)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.asked = append(s.asked, addr)
		if err != nil {
			return err
		}
		s.passed = append(s.passed, addr)
		return errNoConnection
	}
	return s
}

func TestCorpusAtTheSubmitCheck(t *testing.T) {
	g := newGuard(t, GuardConfig{Own: ownAddrs(self)})
	for _, row := range readCorpus(t) {
		target, err := g.CheckURL(row.url)
		if refuse := row.block && row.submit; (err != nil) != refuse {
			t.Errorf("line %d, %q (%s): CheckURL gives %v, should it refuse: %v", row.line, row.url, row.why, err, refuse)
		}
		if err == nil {
			if again, err := g.CheckURL(target.URL); err != nil || again != target {
				t.Errorf("line %d: CheckURL(%q) changes when it is checked again: %v, %v", row.line, row.url, again, err)
			}
		}
	}
}

func TestCorpusAtTheDialler(t *testing.T) {
	for _, row := range readCorpus(t) {
		t.Run(strconv.Itoa(row.line), func(t *testing.T) {
			t.Parallel()
			g := newGuard(t, GuardConfig{Own: ownAddrs(self)})
			names := map[string][]answer{}
			u, err := url.Parse(row.url)
			if err == nil {
				names[dnsName(t, row, u)] = row.answers
			}
			if row.submit {
				names = nil
			}
			s := newStopping(t, g, newFakeDNS(names).resolver())
			switch {
			case row.block && row.submit:
				literalIsNotDialled(t, s, row, u)
			case row.block:
				nameIsNotDialled(t, s, row)
			default:
				result := s.Send(t.Context(), message(row.url))
				if len(s.passed) == 0 || result.Class == ringback.TryBlocked || result.Verdict != Retry {
					t.Errorf("%q (%s): refused at the dial: %+v", row.url, row.why, result)
				}
			}
		})
	}
}

// dnsName returns the name that a resolver will be asked for.
func dnsName(t *testing.T, row corpusRow, u *url.URL) string {
	if row.submit {
		return ""
	}
	host, err := lower(u.Hostname())
	if err != nil {
		t.Fatalf("line %d: %v", row.line, err)
	}
	return strings.TrimSuffix(host, ".")
}

// literalIsNotDialled checks a URL that is refused at submission: a try of it ends at once,
// and even a dialler that gets it anyway opens nothing.
func literalIsNotDialled(t *testing.T, s *stopping, row corpusRow, u *url.URL) {
	result := s.Send(t.Context(), message(row.url))
	if result.Verdict != Dead || result.Class != ringback.TryBlocked || len(s.asked) != 0 {
		t.Errorf("%q (%s): Send returns %+v after %d dials, want it dead without any", row.url, row.why, result, len(s.asked))
	}
	if u == nil || u.Host == "" {
		return
	}
	port := u.Port()
	if port == "" {
		port = "80"
	}
	host, err := lower(u.Hostname())
	if err != nil || host == "" {
		return
	}
	if c, err := s.dialer.DialContext(t.Context(), "tcp", net.JoinHostPort(host, port)); err == nil {
		c.Close()
		t.Errorf("%q (%s): the dialler opened a connection", row.url, row.why)
	}
	if len(s.passed) != 0 {
		t.Errorf("%q (%s): the dialler would connect to %v", row.url, row.why, s.passed)
	}
}

func nameIsNotDialled(t *testing.T, s *stopping, row corpusRow) {
	switch {
	case strings.Contains(row.why, "then"): // a check at submission sees only the first answer
		addrs, err := s.dialer.resolver.LookupNetIP(t.Context(), "ip4", mustParse(t, row.url).Hostname())
		if err != nil || !slices.Equal(addrs, row.answersFirst) {
			t.Fatalf("the first look-up gives %v, %v", addrs, err)
		}
	case strings.Contains(row.why, "answers 302"):
		// Its first address is public: TestARedirectIsNotFollowed has the rest.
		s.Send(t.Context(), message(row.url))
		if !slices.Equal(s.asked, row.answersFirst) {
			t.Errorf("%q: dialled %v, want only %v", row.url, s.asked, row.answersFirst)
		}
		return
	}
	result := s.Send(t.Context(), message(row.url))
	if len(s.passed) != 0 || len(s.asked) == 0 || result.Class != ringback.TryBlocked || result.Verdict != Retry {
		t.Errorf("%q (%s): of %v the dialler would connect to %v: %+v", row.url, row.why, s.asked, s.passed, result)
	}
	for _, a := range s.asked {
		if strings.Contains(result.Error, a.String()) {
			t.Errorf("%q: the error shows the tenant the address: %s", row.url, result.Error)
		}
	}
}

func mustParse(t *testing.T, raw string) *url.URL {
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	return u
}
