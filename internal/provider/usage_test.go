package provider

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"
)

func TestAUsageThatIsNoNumberIsAbsent(t *testing.T) {
	for usage, want := range map[string]string{
		`{"prompt_tokens":3,"completion_tokens":2}`:                                `{"prompt_tokens":3,"completion_tokens":2,"input_tokens":3,"output_tokens":2}`,
		`{"prompt_tokens":1e999,"completion_tokens":2}`:                            `{"completion_tokens":2,"output_tokens":2,"input_tokens":0}`,
		`{"prompt_tokens":"NaN","completion_tokens":-2}`:                           `{"prompt_tokens":"NaN","completion_tokens":-2,"input_tokens":0,"output_tokens":0}`,
		`{"input_tokens":"3","output_tokens":-1e999}`:                              `{"input_tokens":0,"output_tokens":0}`,
		`{"prompt_tokens":3,"prompt_tokens_details":{"cached_tokens":1e999}}`:      `{"prompt_tokens":3,"input_tokens":3,"output_tokens":0}`,
		`{"prompt_tokens":1e300,"completion_tokens":2,"total_tokens":12345678901}`: `{"prompt_tokens":1e300,"completion_tokens":2,"total_tokens":12345678901,"output_tokens":2,"input_tokens":0}`,
		`"none"`: `{"input_tokens":0,"output_tokens":0}`,
	} {
		answer := generate(t, ofOpenAI(t, whole(200, `{"choices":[{"message":{"content":"Yes"}}],"usage":`+usage+`}`)), Request{})
		if string(answer.Usage) != want {
			t.Errorf("%s:\n got %s\nwant %s", usage, answer.Usage, want)
		}
	}
}

// The job's owner learns what broke, but no address.
func TestTheCauseOfABrokenConnectionIsSaid(t *testing.T) {
	reset := &net.OpError{Op: "read", Net: "tcp", Addr: &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 443}, Err: fmt.Errorf("read: %w", syscall.ECONNRESET)}
	call := offline(t).newCall(t.Context(), Request{})
	defer call.cancel(nil)
	if got := call.broken(reset); got.Message != "the answer of acme broke off: connection reset by peer" || !errors.Is(got.Cause, syscall.ECONNRESET) {
		t.Errorf("got %q because of %v", got.Message, got.Cause)
	}
	got := failure(t.Context(), t, ofOpenAI(t, then(stream(chunkBegin, chunkSome), abort)), Request{})
	if !strings.HasPrefix(got.Message, "the answer of acme broke off: unexpected EOF") {
		t.Errorf("a stream that is cut: got %q", got.Message)
	}
	got = failure(t.Context(), t, ofOpenAI(t, stream(chunkBegin, chunkSome)), Request{})
	if !strings.HasPrefix(got.Message, "the answer of acme broke off: the stream ended before the answer did") {
		t.Errorf("a stream that ends: got %q", got.Message)
	}
}
