package provider

import (
	"strings"
	"testing"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/strictjson"
)

func TestAnAnswerThatIsNestedTooDeepIsNone(t *testing.T) {
	nest := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	piece := func(n int) string {
		return `data: {"type":"content_block_delta","index":0,"delta":{"type":"x","x":` + nest(n) + "}}\n\n"
	}
	for name, test := range map[string]struct {
		answer string
		taken  bool
	}{
		"as deep as may be": {begin + block + piece(maxNesting-3) + finish, true}, // message, content, block
		"one deeper":        {begin + block + piece(maxNesting-2) + finish, false},
	} {
		answer, failure := receive(t, offline(t), strings.NewReader(test.answer))
		switch {
		case test.taken && failure != nil:
			t.Errorf("%s: got %v, want an answer", name, failure)
		case !test.taken && failure == nil:
			t.Errorf("%s: got an answer of %d bytes, want an error", name, len(answer.Message))
		case !test.taken && (failure.Code != ringback.CodeStreamBroken || failure.Message != "the answer of acme is nested more than 5000 deep"):
			t.Errorf("%s: got %s, %q", name, failure.Code, failure.Message)
		}
	}
	whole := provide(t, whole(200, `{"content":[],"x":`+nest(maxNesting)+`}`))
	if got := failure(t.Context(), t, whole, Request{}); got.Code != ringback.CodeStreamBroken {
		t.Errorf("without a stream: got %s", got.Code)
	}
}

// Taking an object apart costs many times a short member's size in bytes.
func TestAnAnswerOfVeryManyNamesIsNone(t *testing.T) {
	many := strings.Repeat(`,"a":1`, maxNames)
	for name, answer := range map[string]string{
		"a usage": `data: {"type":"message_delta","delta":{},"usage":{"output_tokens":2` + many + "}}\n\n",
		"a delta": `data: {"type":"content_block_delta","index":0,"delta":{"type":"x"` + many + "}}\n\n",
	} {
		_, failure := receive(t, offline(t), strings.NewReader(begin+block+answer+finish))
		if failure == nil || failure.Code != ringback.CodeStreamBroken || !strings.Contains(failure.Message, "more than 400000 names") {
			t.Errorf("%s: got %v, want that there are too many names", name, failure)
		}
	}
	whole := provide(t, whole(200, `{"content":[]`+many+`}`))
	if got := failure(t.Context(), t, whole, Request{}); got.Code != ringback.CodeStreamBroken {
		t.Errorf("without a stream: got %s", got.Code)
	}
}

func TestANameThatComesAgainIsMergedOnce(t *testing.T) {
	if got := strictjson.Merge([]byte(`{"a":1}`), []byte(`{"b":1,"b":2,"a":3}`)); string(got) != `{"a":3,"b":1}` {
		t.Errorf("got %s", got)
	}
}

func TestAUsageThatIsNestedTooDeepIsNotKept(t *testing.T) {
	deep := strings.Repeat("[", maxNesting) + strings.Repeat("]", maxNesting)
	usage := `data: {"type":"message_delta","delta":{},"usage":{"output_tokens":2,"x":` + deep + "}}\n\n"
	_, failure := receive(t, offline(t), strings.NewReader(begin+block+usage))
	if failure == nil || failure.PartialUsage != nil {
		t.Errorf("got %v, want an error without usage", failure)
	}
}
