//go:build siege

package e2e_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// The most that one request may cost, whatever its shape.
const (
	memoryPerByte  = 6
	memoryBeside   = 32 << 20 // of the collector, the store's caches, and so on
	timePer8MiB    = time.Second
	shapesSeed     = 20261129
	shortShapeSize = 4 << 20
	longShapeSize  = 31 << 20
)

// One request of any shape takes at most six times its size of memory, and a second of
// processor time for each 8 MiB, until it is answered and its job has run. The seeds are
// the worst known shapes; random mixtures of them look for worse ones.
func TestARequestOfAnyShapeTakesLittleMemoryAndTime(t *testing.T) {
	// Not parallel: it measures times.
	w := newWorld(t, setup{})
	// The collector leaves little garbage, so that what is measured is alive.
	w.env = append(w.env, "GOGC=15")
	s := w.start()
	w.ready()
	if status, _, body := w.post(t, "/api/generate", `{"prompt":"warm","model":"sim/echo","events":[]}`); status != http.StatusAccepted {
		t.Fatalf("got %d %s", status, body)
	}
	size, mixtures := shortShapeSize, 8
	if long {
		size, mixtures = longShapeSize, 400
	}
	random := rand.New(rand.NewPCG(shapesSeed, 0))
	t.Logf("seed %d", shapesSeed)
	s.settled(t)
	before := s.statusOf(t, "VmRSS")
	for name, write := range shapes {
		costs(t, w, s, before, name, whole(write(size-100)))
	}
	for i := range mixtures {
		body := mixture(random, size)
		if !costs(t, w, s, before, fmt.Sprint("mixture ", i), body) {
			t.Logf("it begins %.300s", body)
		}
	}
}

// costs sends a body with an idempotency key, which makes the server walk it once more, and
// checks what it takes beyond the memory that the server had before.
func costs(t *testing.T, w *world, s *server, before int64, name string, body []byte) (cheap bool) {
	t.Helper()
	began := s.cpu(t)
	s.resetPeak(t)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://127.0.0.1/api/generate", bytes.NewReader(body))
	must(t, err)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", strings.ReplaceAll(name, " ", "-"))
	resp, err := w.http.Do(req)
	must(t, err)
	status, _, answer := read(t, resp)
	if status >= 500 {
		t.Errorf("%s: got %d %s", name, status, answer)
	}
	s.settled(t)
	size := len(body)
	cheap = true
	peak, took := s.statusOf(t, "VmHWM")-before, s.cpu(t)-began
	t.Logf("%-22s %d %3d MiB for %d MiB, %.2f s for 8 MiB", name, status, peak>>20, size>>20, took.Seconds()/float64(size)*(8<<20))
	if most := int64(memoryPerByte*size + memoryBeside); peak > most {
		cheap = false
		t.Errorf("%s: %d MiB of memory for %d MiB, want at most %d", name, peak>>20, size>>20, most>>20)
	}
	if most := timePer8MiB * time.Duration(max(size, 8<<20)) / (8 << 20); took > most {
		cheap = false
		t.Errorf("%s: %s of processor time for %d MiB, want at most %s", name, took, size>>20, most)
	}
	return cheap
}

// whole makes a request from some members.
func whole(members string) []byte { return []byte(`{"events":[],"model":"sim/echo",` + members + `}`) }

// fill repeats a piece up to about size bytes, and removes the last comma.
func fill(size int, piece string) string {
	return strings.TrimSuffix(strings.Repeat(piece, max(1, size/len(piece))), ",")
}

// names returns different short names with a value each.
func names(n int, value string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `"%s":%s,`, strconv.FormatInt(int64(i), 36), value)
	}
	return strings.TrimSuffix(b.String(), ",")
}

// shapes are members of a request of about so many bytes.
var shapes = map[string]func(size int) string{
	"a prompt":            func(n int) string { return `"prompt":"` + fill(n, "all work and no play ") + `"` },
	"line ends":           func(n int) string { return `"prompt":"` + fill(n, `\n`) + `"` },
	"unicode escapes":     func(n int) string { return `"prompt":"` + fill(n, `\u00e9`) + `"` },
	"control escapes":     func(n int) string { return `"prompt":"` + fill(n, `\u0001`) + `"` },
	"pairs of surrogates": func(n int) string { return `"prompt":"` + fill(n, `\ud83d\ude00`) + `"` },
	"messages of zeros":   func(n int) string { return `"messages":[` + fill(n, `0,`) + `]` },
	"many messages":       func(n int) string { return `"messages":[` + fill(n, `{},`) + `]` },
	"zeros in a message":  func(n int) string { return `"messages":[{"a":[` + fill(n, `0,`) + `]}]` },
	"strings of one byte": func(n int) string { return `"messages":[{"a":[` + fill(n, `"a",`) + `]}]` },
	"one large message":   func(n int) string { return `"messages":[{"role":"user","content":"` + fill(n, "x") + `"}]` },
	"params with names":   func(n int) string { return `"prompt":"x","params":{` + names(n/8, "0") + `}` },
	"params as allowed":   func(n int) string { return `"prompt":"x","params":{` + names(1000, `"`+fill(n/1000, "y")+`"`) + `}` },
	"objects full of names": func(n int) string {
		return `"prompt":"x","params":{"a":[` + fill(n, `{`+names(10_000, "0")+`},`) + `]}`
	},
	"small objects": func(n int) string { return `"prompt":"x","params":{"a":[` + fill(n, `{"a":0,"b":0,"c":0},`) + `]}` },
	"escaped names": func(n int) string { return `"prompt":"x","params":{"a":[` + fill(n, `{"\u0061":0,"\u0062":0},`) + `]}` },
	"nested at the bound": func(n int) string {
		return `"prompt":"x","params":{"a":[` + fill(n, strings.Repeat("[", 97)+strings.Repeat("]", 97)+",") + `]}`
	},
	"large and nested": func(n int) string {
		return `"prompt":"x","params":` + strings.Repeat(`{"b":0,"a":`, 97) + `"` + fill(n, "z") + `"` + strings.Repeat("}", 97)
	},
	"names at every level": func(n int) string {
		per := min(n/97/8, 9999)
		return `"prompt":"x","params":{"a":` + strings.Repeat(`{`+names(per, "0")+`,"A":`, 97) + "0" + strings.Repeat("}", 97) + `}`
	},
	"a long number": func(n int) string { return `"prompt":"x","params":{"a":` + fill(n, "7") + `}` },
	"many decimals": func(n int) string { return `"prompt":"x","params":{"a":[` + fill(n, "1.50e-7,") + `]}` },
	"a long name":   func(n int) string { return `"prompt":"x","params":{"` + fill(n, "n") + `":0}` },
	"events":        func(n int) string { return `"prompt":"x","events":[` + fill(n, `"job.failed",`) + `]` },
	"fallbacks":     func(n int) string { return `"prompt":"x","fallback_models":[` + fill(n, `"a",`) + `]` },
	"headers":       func(n int) string { return `"prompt":"x","callback_headers":{` + names(n/9, `""`) + `}` },
	"metadata":      func(n int) string { return `"prompt":"x","metadata":{` + names(n/8, "0") + `}` },
	"a model":       func(n int) string { return `"prompt":"x","model":"` + fill(n, `\"`) + `"` },
	"spaces":        func(n int) string { return `"prompt":"x","params":{"a":[` + fill(n, " \n") + `]}` },
	"never closed":  func(n int) string { return `"prompt":"x","params":[` + fill(n, `{"a":`) },
}

// mixture returns a request whose parts are random values.
func mixture(random *rand.Rand, size int) []byte {
	body := bytes.NewBuffer(make([]byte, 0, size+size/8))
	body.WriteString(`{"events":[],"model":"sim/echo","messages":[{"role":"user","content":"x"},{"a":`)
	part := size / (1 + random.IntN(3))
	writeValue(random, body, part, 90)
	body.WriteString(`}],"params":{"p":`)
	writeValue(random, body, size-part, 90)
	body.WriteString("}}")
	return body.Bytes()
}

// writeValue writes a random value of about size bytes: one of many equal small ones, or
// of a few large ones.
func writeValue(random *rand.Rand, out *bytes.Buffer, size, depth int) {
	small := []string{`0`, `"a"`, `-1.5e3`, `""`, `[]`, `{}`, `{"a":0}`, `{"\u0061":"\n"}`, `"\u00e9\\"`, `null`, `[[[]]]`, " 1 \n"}
	switch kind := random.IntN(5); {
	case depth == 0 || size < 100 || kind == 0:
		out.WriteByte('[')
		out.WriteString(fill(size, small[random.IntN(len(small))]+","))
		out.WriteByte(']')
	case kind == 1:
		pieces := []string{"x", `\n`, `\u0000`, `é`, `\"`, "words and more ", `\ud83d\ude00`}
		out.WriteString(`"` + fill(size, pieces[random.IntN(len(pieces))]) + `"`)
	case kind == 2:
		out.WriteString(`{` + names(min(size/8, 1+random.IntN(9000)), "0") + `,"\u0041":`)
		writeValue(random, out, size/2, depth-1)
		out.WriteByte('}')
	default:
		n := 1 + random.IntN(4)
		out.WriteByte('[')
		for i := range n {
			if i > 0 {
				out.WriteByte(',')
			}
			writeValue(random, out, size/n, depth-1)
		}
		out.WriteByte(']')
	}
}

var kilobytes = regexp.MustCompile(`\d+`)

// statusOf reads a line of the process's status, in bytes.
func (s *server) statusOf(t *testing.T, name string) int64 {
	t.Helper()
	status, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(s.cmd.Process.Pid), "status"))
	must(t, err)
	for line := range strings.Lines(string(status)) {
		if strings.HasPrefix(line, name+":") {
			n, err := strconv.ParseInt(kilobytes.FindString(line), 10, 64)
			must(t, err)
			return n << 10
		}
	}
	t.Fatalf("no %s in %s", name, status)
	return 0
}

// resetPeak resets VmHWM.
func (s *server) resetPeak(t *testing.T) {
	t.Helper()
	must(t, os.WriteFile(filepath.Join("/proc", strconv.Itoa(s.cmd.Process.Pid), "clear_refs"), []byte("5"), 0))
}

// cpu returns the processor time that the server has taken.
func (s *server) cpu(t *testing.T) time.Duration {
	t.Helper()
	return cpuTime(t, fmt.Sprintf("/proc/%d/", s.cmd.Process.Pid))
}

// settled waits until the server is idle: its processor time does not increase.
func (s *server) settled(t *testing.T) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for last := s.cpu(t); ; {
		select {
		case <-tick.C:
		case <-deadline:
			t.Error("the server does not come to rest")
			return
		}
		now := s.cpu(t)
		if now-last < 20*time.Millisecond {
			return
		}
		last = now
	}
}
