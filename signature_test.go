package ringback_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/ringback/ringback"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// The test vector: its HMACs were made by hand and with the official libraries for Go
// (v0.0.1) and npm (1.1.1), which agree.
const (
	vectorSecret    = "whsec_AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA="
	vectorOldSecret = "whsec_8O/u7ezr6uno5+bl5OPi4eDf3t3c29rZ"
	vectorID        = "dlv_01JXYZ0123456789ABCDEFGHJK"
	vectorSeconds   = 1767225600
	vectorBody      = `{"type":"job.completed","timestamp":"2026-01-01T00:00:00Z","job_id":"job_1","status":"completed","result":"Grüße 👋\n<b>"}`
	vectorNew       = "v1,lOIq+/Dcj36OSpctdxO2qrchwsM7ROJeKg0AdTGgCNw="
	vectorOld       = "v1,5/uoZ3O3BgfrBt/P9WtgZKaLJgf2gMyzrKABEXggZrU="
	vectorOfBody    = "sha256=53e3da334d838b8ff44e1d079b41436dbddc5140eb3f06eab126e930fe1aae27"
)

func TestSignGivesTheVector(t *testing.T) {
	got := ringback.Sign(parse(t, vectorSecret), vectorID, time.Unix(vectorSeconds, 0), []byte(vectorBody))
	want := headers(vectorNew)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Sign (-want +got):\n%s", diff)
	}
	old := ringback.SignMessage(parse(t, vectorOldSecret), vectorID, time.Unix(vectorSeconds, 0), []byte(vectorBody))
	if old != vectorOld {
		t.Errorf("SignMessage with the old secret: got %s, want %s", old, vectorOld)
	}
}

func TestVerifyTakesTheVectorWithEitherSecret(t *testing.T) {
	now := time.Unix(vectorSeconds, 0)
	h := headers(vectorNew + " " + vectorOld)
	for _, s := range []string{vectorSecret, vectorOldSecret} {
		if err := ringback.VerifyAt(now, h, []byte(vectorBody), parse(t, s)); err != nil {
			t.Errorf("VerifyAt with %s: %v", s, err)
		}
	}
	if err := ringback.VerifyBody(h, []byte(vectorBody), parse(t, vectorSecret)); err != nil {
		t.Errorf("VerifyBody: %v", err)
	}
}

func TestTheOfficialLibraryVerifiesWhatWeSign(t *testing.T) {
	secrets := map[string]ringback.Secret{
		"made":  ringback.NewSecret(),
		"whsec": parse(t, vectorSecret),
		"plain": parse(t, "correct horse battery staple"),
	}
	for name, secret := range secrets {
		t.Run(name, func(t *testing.T) {
			official, err := standardwebhooks.NewWebhook(secret.Whsec())
			if err != nil {
				t.Fatalf("the official library refuses the whsec_ form: %v", err)
			}
			h := ringback.Sign(secret, vectorID, time.Now(), []byte(vectorBody))
			if err := official.Verify([]byte(vectorBody), h); err != nil {
				t.Errorf("the official library refuses our signature: %v", err)
			}
			signed, _ := official.Sign(vectorID, time.Now(), []byte(vectorBody))
			h.Set(ringback.HeaderWebhookSignature, signed)
			if err := ringback.Verify(h, []byte(vectorBody), secret); err != nil {
				t.Errorf("we refuse the official library's signature: %v", err)
			}
		})
	}
}

func TestVerifyRefuses(t *testing.T) {
	good := headers(vectorNew)
	at := func(offset int64) time.Time { return time.Unix(vectorSeconds+offset, 999_999_999) }
	with := func(name, value string) http.Header {
		h := good.Clone()
		h.Set(name, value)
		return h
	}
	without := func(name string) http.Header {
		h := good.Clone()
		h.Del(name)
		return h
	}
	secret := parse(t, vectorSecret)
	for _, c := range []struct {
		name    string
		now     time.Time
		header  http.Header
		body    string
		secrets []ringback.Secret
		want    error
	}{
		{"nothing that is right", at(0), good, vectorBody, []ringback.Secret{secret}, nil},
		{"nothing at the old end of the tolerance", at(300), good, vectorBody, []ringback.Secret{secret}, nil},
		{"what is older", at(301), good, vectorBody, []ringback.Secret{secret}, ringback.ErrTooOld},
		{"nothing at the new end of the tolerance", at(-300), good, vectorBody, []ringback.Secret{secret}, nil},
		{"what is newer", at(-301), good, vectorBody, []ringback.Secret{secret}, ringback.ErrTooNew},
		{"the largest time there is", at(0), with("webhook-timestamp", "9223372036854775807"), vectorBody, []ringback.Secret{secret}, ringback.ErrTooNew},
		{"a time before 1970", at(0), with("webhook-timestamp", "-9223372036854775808"), vectorBody, []ringback.Secret{secret}, ringback.ErrMalformedTimestamp},
		{"a time that is none", at(0), with("webhook-timestamp", "1767225600.9"), vectorBody, []ringback.Secret{secret}, ringback.ErrMalformedTimestamp},
		{"the same time in other digits", at(0), with("webhook-timestamp", "01767225600"), vectorBody, []ringback.Secret{secret}, ringback.ErrNoMatchingSignature},
		{"a message without an id", at(0), without("webhook-id"), vectorBody, []ringback.Secret{secret}, ringback.ErrMissingHeader},
		{"a message without a time", at(0), without("webhook-timestamp"), vectorBody, []ringback.Secret{secret}, ringback.ErrMissingHeader},
		{"a message without a signature", at(0), without("webhook-signature"), vectorBody, []ringback.Secret{secret}, ringback.ErrMissingHeader},
		{"another id", at(0), with("webhook-id", "dlv_2"), vectorBody, []ringback.Secret{secret}, ringback.ErrNoMatchingSignature},
		{"another body", at(0), good, vectorBody + " ", []ringback.Secret{secret}, ringback.ErrNoMatchingSignature},
		{"another secret", at(0), good, vectorBody, []ringback.Secret{parse(t, vectorOldSecret)}, ringback.ErrNoMatchingSignature},
		{"no secret at all", at(0), good, vectorBody, nil, ringback.ErrNoMatchingSignature},
		{"the zero secret", at(0), good, vectorBody, []ringback.Secret{{}}, ringback.ErrNoMatchingSignature},
		{"nothing with the right secret behind another", at(0), good, vectorBody, []ringback.Secret{{}, parse(t, vectorOldSecret), secret}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := ringback.VerifyAt(c.now, c.header, []byte(c.body), c.secrets...); !errors.Is(err, c.want) {
				t.Errorf("VerifyAt: got %v, want %v", err, c.want)
			}
		})
	}
}

func TestTheSignatureHeaderIsReadAsTheSpecSays(t *testing.T) {
	bare := strings.TrimPrefix(vectorNew, "v1,")
	for header, want := range map[string]error{
		vectorNew:                          nil,
		"v1a,xyz " + vectorNew:             nil,
		"  " + vectorNew + "  v9,abc":      nil,
		bare:                               ringback.ErrNoMatchingSignature,
		"v2," + bare:                       ringback.ErrNoMatchingSignature,
		vectorOld + "," + vectorNew:        ringback.ErrNoMatchingSignature,
		strings.TrimSuffix(vectorNew, "="): ringback.ErrNoMatchingSignature,
		strings.Replace(vectorNew, "w=", "x=", 1): ringback.ErrNoMatchingSignature,
		" ": ringback.ErrNoMatchingSignature,
	} {
		err := ringback.VerifyAt(time.Unix(vectorSeconds, 0), headers(header), []byte(vectorBody), parse(t, vectorSecret))
		if !errors.Is(err, want) {
			t.Errorf("webhook-signature %q: got %v, want %v", header, err, want)
		}
	}
}

func TestVerifyGoesByTheClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		secret := ringback.NewSecret()
		h := ringback.Sign(secret, vectorID, time.Now(), nil)
		time.Sleep(300 * time.Second)
		if err := ringback.Verify(h, nil, secret); err != nil {
			t.Errorf("Verify after 300 s: %v", err)
		}
		time.Sleep(time.Second)
		if err := ringback.Verify(h, nil, secret); !errors.Is(err, ringback.ErrTooOld) {
			t.Errorf("Verify after 301 s: got %v, want ErrTooOld", err)
		}
	})
}

func TestVerifyBodyRefuses(t *testing.T) {
	secret := parse(t, vectorSecret)
	for name, c := range map[string]struct {
		header http.Header
		body   string
		want   error
	}{
		"a message without the header": {http.Header{}, vectorBody, ringback.ErrMissingHeader},
		"another body":                 {headers(""), "{}", ringback.ErrNoMatchingSignature},
		"upper-case hex":               {http.Header{"X-Webhook-Signature": {strings.ToUpper(vectorOfBody)}}, vectorBody, ringback.ErrNoMatchingSignature},
	} {
		if err := ringback.VerifyBody(c.header, []byte(c.body), secret); !errors.Is(err, c.want) {
			t.Errorf("VerifyBody of %s: got %v, want %v", name, err, c.want)
		}
	}
	if err := ringback.VerifyBody(headers(""), []byte(vectorBody), ringback.Secret{}); !errors.Is(err, ringback.ErrNoMatchingSignature) {
		t.Errorf("VerifyBody with the zero secret: got %v, want ErrNoMatchingSignature", err)
	}
}

func TestParseSecret(t *testing.T) {
	for _, c := range []struct{ name, in, whsec, err string }{
		{"takes a whsec_ secret", vectorSecret, vectorSecret, ""},
		{"takes a plain one as its bytes", "my-plain-secret", "whsec_bXktcGxhaW4tc2VjcmV0", ""},
		{"takes what would be base64 as its bytes", "supersecret1", "whsec_c3VwZXJzZWNyZXQx", ""},
		{"takes the prefix in upper case for plain text", "WHSEC_AQID", "whsec_V0hTRUNfQVFJRA==", ""},
		{"takes 16 bytes", "whsec_AAAAAAAAAAAAAAAAAAAAAA==", "whsec_AAAAAAAAAAAAAAAAAAAAAA==", ""},
		{"refuses 15 bytes", "whsec_AAAAAAAAAAAAAAAAAAAA", "", "15 bytes"},
		{"refuses nothing behind the prefix", "whsec_", "", "0 bytes"},
		{"refuses an empty one", "", "", "empty"},
		{"refuses base64 without padding", "whsec_AAAAAAAAAAAAAAAAAAAAAA", "", "not base64"},
		{"refuses the URL-safe alphabet", "whsec_8O_u7ezr6uno5-bl5OPi4eDf3t3c29rZ", "", "not base64"},
		{"refuses a line end in it", "whsec_AAAAAAAAAAAAAAAAAAAAAA==\n", "", "not base64"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := ringback.ParseSecret(c.in)
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Fatalf("ParseSecret: got %v, want an error that says %q", err, c.err)
				}
				if body := strings.TrimPrefix(c.in, "whsec_"); body != "" && strings.Contains(err.Error(), body) {
					t.Errorf("the error shows the secret: %v", err)
				}
				return
			}
			if err != nil {
				t.Fatalf("ParseSecret: %v", err)
			}
			if s.Whsec() != c.whsec || s.Reveal() != c.in {
				t.Errorf("Whsec, Reveal: got %s, %s, want %s, %s", s.Whsec(), s.Reveal(), c.whsec, c.in)
			}
		})
	}
}

func TestNewSecretsAreAllDifferentAndParse(t *testing.T) {
	a, b := ringback.NewSecret(), ringback.NewSecret()
	if a.Reveal() == b.Reveal() {
		t.Error("two new secrets are the same")
	}
	if got := parse(t, a.Reveal()); got.Whsec() != a.Whsec() {
		t.Errorf("a new secret changes when it is parsed: got %s, want %s", got.Whsec(), a.Whsec())
	}
}

func TestASecretNeverPrintsItself(t *testing.T) {
	const text = "hunter2-hunter2"
	s := parse(t, text)
	type holder struct{ s ringback.Secret } // unexported: fmt cannot call its methods
	var out bytes.Buffer
	for _, v := range []any{s, &s, []ringback.Secret{s}, map[string]ringback.Secret{"k": s}, holder{s}, &holder{s}, struct{ S ringback.Secret }{s}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
		fmt.Fprintln(&out, v)
		for _, h := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
			slog.New(h).Info("secret", "v", v)
		}
		if err := json.NewEncoder(&out).Encode(v); err != nil {
			t.Errorf("encode %T: %v", v, err)
		}
	}
	for _, leak := range []string{text, hex.EncodeToString([]byte(text)), strings.ToUpper(hex.EncodeToString([]byte(text))), s.Whsec(), "104 117 110"} {
		if strings.Contains(out.String(), leak) {
			t.Errorf("the secret is printed as %q in:\n%s", leak, &out)
		}
	}
	if !strings.Contains(out.String(), "[secret]") {
		t.Error("[secret] is not in the secret's place")
	}
}

func TestSigningWithTheZeroSecretPanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("Sign with the zero Secret made a signature that anybody could make")
		}
	}()
	ringback.Sign(ringback.Secret{}, vectorID, time.Now(), nil)
}

// Node.js knows nothing of our code: it computes the two signatures by itself.
func TestNodeMakesTheSameSignatures(t *testing.T) {
	const script = `
		const { createHmac } = require('node:crypto');
		const [text, whsec, id, seconds] = process.argv.slice(1);
		const body = require('node:fs').readFileSync(0);
		const key = Buffer.from(whsec.slice('whsec_'.length), 'base64');
		console.log('v1,' + createHmac('sha256', key).update(id + '.' + seconds + '.').update(body).digest('base64'));
		console.log('sha256=' + createHmac('sha256', text).update(body).digest('hex'));
		console.log('sha256=' + createHmac('sha256', text).update(JSON.stringify(JSON.parse(body))).digest('hex'));`
	for _, text := range []string{vectorSecret, "Schlüssel, ganz schlicht"} {
		s := parse(t, text)
		cmd := exec.CommandContext(t.Context(), "node", "-e", script, text, s.Whsec(), vectorID, fmt.Sprint(vectorSeconds))
		cmd.Stdin, cmd.Stderr = strings.NewReader(vectorBody), os.Stderr
		got, err := cmd.Output()
		if err != nil {
			t.Fatalf("this test needs Node.js as node on the PATH: %v", err)
		}
		message := ringback.SignMessage(s, vectorID, time.Unix(vectorSeconds, 0), []byte(vectorBody))
		body := ringback.SignBody(s, []byte(vectorBody))
		if want := message + "\n" + body + "\n" + body + "\n"; string(got) != want {
			t.Errorf("Node's signatures:\n%swant\n%s", got, want)
		}
	}
}

// Whatever webhook-signature contains, Verify accepts it exactly when the right signature
// is one of its words.
func FuzzVerify(f *testing.F) {
	for _, seed := range []string{vectorNew, vectorNew + " " + vectorOld, "v1", "v1,", ",,,", " \x00", "v1a," + vectorNew, strings.Repeat("v1, ", 100)} {
		f.Add(seed, "1767225600")
	}
	f.Add(vectorNew, "+1767225600")
	f.Add(vectorNew, "99999999999999999999")
	secret, err := ringback.ParseSecret(vectorSecret)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, signature, seconds string) {
		h := headers(signature)
		h.Set(ringback.HeaderWebhookTimestamp, seconds)
		err := ringback.VerifyAt(time.Unix(vectorSeconds, 0), h, []byte(vectorBody), secret)
		want := false
		for word := range strings.SplitSeq(signature, " ") {
			want = want || (word == vectorNew && seconds == "1767225600")
		}
		// The time is signed, so a changed time needs another signature.
		if (err == nil) != want {
			t.Errorf("VerifyAt of %q at %q: got %v, want a match: %v", signature, seconds, err, want)
		}
	})
}

// BenchmarkSign makes the headers of a webhook, as each of its tries does.
func BenchmarkSign(b *testing.B) {
	secret := ringback.NewSecret()
	for _, size := range []int{1 << 10, 64 << 10} {
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			body, at := bytes.Repeat([]byte("x"), size), time.Now()
			b.ReportAllocs()
			b.SetBytes(int64(size))
			for b.Loop() {
				ringback.Sign(secret, vectorID, at, body)
			}
		})
	}
}

// BenchmarkVerify does what a receiver does with each webhook.
func BenchmarkVerify(b *testing.B) {
	secret, body := ringback.NewSecret(), bytes.Repeat([]byte("x"), 1<<10)
	h := ringback.Sign(secret, vectorID, time.Now(), body)
	b.ReportAllocs()
	for b.Loop() {
		if err := ringback.VerifyAt(time.Now(), h, body, secret); err != nil && !errors.Is(err, ringback.ErrTooOld) {
			b.Fatal(err)
		}
	}
}

func parse(t *testing.T, s string) ringback.Secret {
	t.Helper()
	secret, err := ringback.ParseSecret(s)
	if err != nil {
		t.Fatalf("ParseSecret(%q): %v", s, err)
	}
	return secret
}

// headers returns the vector's headers, with another webhook-signature.
func headers(signature string) http.Header {
	h := http.Header{}
	h.Set(ringback.HeaderWebhookID, vectorID)
	h.Set(ringback.HeaderWebhookTimestamp, fmt.Sprint(vectorSeconds))
	h.Set(ringback.HeaderWebhookSignature, signature)
	h.Set(ringback.HeaderBodySignature, vectorOfBody)
	return h
}

func TestWhileASecretIsReplacedReceiversVerifyByEither(t *testing.T) {
	secrets, err := ringback.ParseSecrets(vectorSecret + ", a plain old one")
	if err != nil || len(secrets) != 2 {
		t.Fatalf("ParseSecrets: %d secrets, %v", len(secrets), err)
	}
	body := []byte(vectorBody)
	h := ringback.Sign(secrets[0], vectorID, time.Now(), body, secrets[1:]...)
	for i, s := range secrets {
		if err := ringback.Verify(h, body, s); err != nil {
			t.Errorf("webhook-signature by secret %d: %v", i+1, err)
		}
	}
	if err := ringback.VerifyBody(h, body, secrets[0]); err != nil {
		t.Errorf("X-Webhook-Signature by the new secret: %v", err)
	}
	if err := ringback.VerifyBody(h, body, secrets[1]); !errors.Is(err, ringback.ErrNoMatchingSignature) {
		t.Errorf("X-Webhook-Signature by the old secret: %v; it has room for one signature", err)
	}
	if err := ringback.Verify(h, body, ringback.NewSecret()); !errors.Is(err, ringback.ErrNoMatchingSignature) {
		t.Errorf("by another secret: %v", err)
	}
	official, err := standardwebhooks.NewWebhookRaw([]byte("a plain old one"))
	if err != nil {
		t.Fatal(err)
	}
	if err := official.Verify(body, h); err != nil {
		t.Errorf("the official library, by the old secret: %v", err)
	}
}

func TestAListOfSecretsSaysWhichIsAtFault(t *testing.T) {
	for list, want := range map[string]string{
		"":                        "the webhook secret is empty",
		"new,":                    "secret 2 of 2: the webhook secret is empty",
		",,":                      "secret 1 of 3: ",
		"new,whsec_short,old":     "secret 2 of 3: what follows whsec_",
		"new, whsec_AAAA":         "secret 2 of 2: the webhook secret holds 3 bytes",
		"the-old-one,the-old-one": "secrets 1 and 2 of 2 are the same",
	} {
		_, err := ringback.ParseSecrets(list)
		if err == nil || !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "short") || strings.Contains(err.Error(), "the-old-one") {
			t.Errorf("ParseSecrets(%q): got %v, want %q and no secret", list, err, want)
		}
	}
}
