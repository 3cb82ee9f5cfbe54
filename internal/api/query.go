package api

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/strictjson"
)

// A query is what follows the question mark: parameters that the route knows, each once. An
// empty parameter counts as absent.
type query url.Values

// metadataPrefix is the prefix of the parameters that select jobs by their metadata.
const metadataPrefix = "metadata."

// readQuery refuses parameters that are not in known, in which a name that ends in a dot is
// a prefix.
func readQuery(raw string, known []string) (query, error) {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return nil, ringback.Invalid("", "the query is not valid: write special characters as %XX, and join parameters by &")
	}
	for name, given := range values {
		if !slices.ContainsFunc(known, func(k string) bool { return matches(name, k) }) {
			return nil, invalidParameter(name, "is not a query parameter here; "+knownParameters(known))
		}
		if len(given) > 1 {
			return nil, invalidParameter(name, "is given more than once; give it once")
		}
	}
	return query(values), nil
}

func matches(name, known string) bool {
	if strings.HasSuffix(known, ".") {
		return strings.HasPrefix(name, known) && name != known
	}
	return name == known
}

func knownParameters(known []string) string {
	if len(known) == 0 {
		return "there are none"
	}
	return "there are " + strings.ReplaceAll(strings.Join(known, ", "), metadataPrefix, metadataPrefix+"KEY")
}

func invalidParameter(name, message string) error {
	return strictjson.Within(name, &strictjson.Error{Message: message})
}

func (q query) text(name string) string { return url.Values(q).Get(name) }

// number reads a whole number between least and most.
func (q query) number(name string, least, most, missing int) (int, error) {
	s := q.text(name)
	if s == "" {
		return missing, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < least || n > most {
		return 0, invalidParameter(name, "must be a whole number from "+strconv.Itoa(least)+" to "+strconv.Itoa(most))
	}
	return n, nil
}

func (q query) time(name string) (time.Time, error) {
	s := q.text(name)
	if s == "" {
		return time.Time{}, nil
	}
	t, err := parseTime(restorePlus(s))
	if err != nil {
		return t, strictjson.Within(name, err)
	}
	return t, nil
}

// restorePlus restores the plus sign of a time's offset. Unescaped, it means a space in a
// query.
func restorePlus(s string) string {
	if at := strings.LastIndexByte(s, ' '); at == len(s)-len(" 01:00") && at > 0 && strings.ContainsAny(s[:at], "Tt ") {
		return s[:at] + "+" + s[at+1:]
	}
	return s
}

// oneOf reads a word from a list.
func oneOf[S ~string](q query, name string, words []S) (S, error) {
	s := S(q.text(name))
	if s == "" || slices.Contains(words, s) {
		return s, nil
	}
	list := make([]string, len(words))
	for i, w := range words {
		list[i] = string(w)
	}
	return "", invalidParameter(name, "must be one of "+strings.Join(list, ", "))
}

// metadata reads metadata.KEY=VALUE.
func (q query) metadata() map[string]string {
	var m map[string]string
	for name, given := range q {
		if key, ok := strings.CutPrefix(name, metadataPrefix); ok {
			if m == nil {
				m = map[string]string{}
			}
			m[key] = given[0]
		}
	}
	return m
}

// A page of a list.
const (
	defaultLimit = 20
	maxLimit     = 100
)

func (q query) limit() (int, error) { return q.number("limit", 1, maxLimit, defaultLimit) }
