package simulate

import (
	"fmt"
	"iter"
	"strings"
)

const (
	demoPrompt = "What is a webhook?"

	// Both texts have 80 words.
	demoText  = `A webhook is a request that comes to you when something happens, so you need not ask for it again. You give a service an address of yours; when there is news, it sends a message there, signed, so that you can check who wrote it. Your server stores the message, answers with a 200, and does the work afterwards. If your server is down, the service tries again later, under the same id, until it gets through at last.`
	otherText = `A long answer takes its time, and that is no reason to wait for it with an open connection. Ask your question, take the number that you are given, and turn to something else. The question is written down before you hear that it was accepted, so neither a crash nor a restart can lose it. When the answer is whole, it is brought to the door you named, and if nobody opens, it is brought again until somebody does.`
	thought   = `The question is short, so the answer may be short too. `
)

// textFor returns the generated answer to a prompt, with that many words.
func textFor(prompt string, words int) string {
	text := otherText
	if strings.TrimSpace(prompt) == demoPrompt {
		text = demoText
	}
	from := strings.Fields(text)
	to := make([]string, words)
	for i := range to {
		to[i] = from[i%len(from)]
	}
	return strings.Join(to, " ")
}

// pieces cuts a text after its spaces into at most that many pieces; 0 means one for each
// word. Joined they are the text again, byte for byte.
func pieces(text string, most int) iter.Seq[string] {
	words := strings.SplitAfter(text, " ")
	each := 1
	if most > 0 {
		each = (len(words) + most - 1) / most
	}
	return func(yield func(string) bool) {
		for i := 0; i < len(words); i += each {
			if !yield(strings.Join(words[i:min(i+each, len(words))], "")) {
				return
			}
		}
	}
}

// endless never runs out of words.
func endless() iter.Seq[string] {
	return func(yield func(string) bool) {
		for n := 1; ; n++ {
			if !yield(fmt.Sprintf("And %d. ", n)) {
				return
			}
		}
	}
}
