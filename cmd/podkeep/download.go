package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/describe"
	"github.com/podkeep/podkeep/internal/layout"
)

// Times of downloads. Velero's client has the same limits (velero-facts §8.9).
const (
	describeTimeout = 30 * time.Second
	downloadTimeout = time.Minute
	firstPoll       = 25 * time.Millisecond
	lastPoll        = 500 * time.Millisecond

	// patience is how long a server may take to mend what it says is wrong. It looks
	// again every two seconds.
	patience = 3 * time.Second
)

// Bounds of texts.
const (
	maxNameBytes  = 253     // of an object (k8s.io/apimachinery/pkg/util/validation)
	maxErrorBytes = 4 << 10 // of what a storage server says about an error
)

// downloadFlags say how files are fetched from object storage.
type downloadFlags struct {
	timeout    time.Duration
	insecure   bool
	caCertFile string
}

func (f *downloadFlags) bind(fs *pflag.FlagSet) {
	fs.DurationVar(&f.timeout, "timeout", downloadTimeout, "how long to wait for the server and for the storage")
	f.bindTLS(fs)
}

func (f *downloadFlags) bindTLS(fs *pflag.FlagSet) {
	fs.BoolVar(&f.insecure, "insecure-skip-tls-verify", false, "accept any certificate of the storage; somebody in between could read and change the files")
	fs.StringVar(&f.caCertFile, "cacert", "",
		"file with PEM certificates to check the storage's certificate with (default: cacert of the client configuration, then that of the location)")
}

// errNoAnswer says that the server has not made an address; it is not asked again.
var errNoAnswer = errors.New("the server has not answered the download request; " +
	"the backup storage location may not be available, or the server does not run")

// downloads fetches files of backups and restores from object storage, as Velero's
// client does: a DownloadRequest, which the server answers with an address.
type downloads struct {
	cluster
	flags   downloadFlags
	clock   clock.WithDelayedExecution
	warn    io.Writer
	api     func() (apiServer, error)
	clients map[string]*http.Client // by location
	broken  error                   // of all downloads
}

func (s *session) newDownloads(t cluster, flags downloadFlags, warn io.Writer) *downloads {
	if flags.caCertFile == "" {
		flags.caCertFile = s.configured(configCACert)
	}
	return &downloads{cluster: t, flags: flags, clock: s.clock, warn: warn, api: s.api, clients: map[string]*http.Client{}}
}

// open returns a file as it is stored. It returns describe.ErrNoFile when storage
// has none. The reading fails when nothing arrives for the timeout.
func (d *downloads) open(ctx context.Context, target velerov1.DownloadTarget, location string) (io.ReadCloser, error) {
	if d.broken != nil {
		return nil, d.broken
	}
	ctx, cancel := context.WithCancelCause(ctx)
	stop := d.clock.AfterFunc(d.flags.timeout, func() { cancel(errNoAnswer) })
	body, err := d.request(ctx, target, location)
	if err != nil {
		stop.Stop()
		if cause := context.Cause(ctx); errors.Is(cause, errNoAnswer) {
			d.broken, err = cause, cause
		}
		cancel(nil)
		return nil, err
	}
	return &watchedBody{ReadCloser: body, stop: stop, cancel: cancel, timeout: d.flags.timeout}, nil
}

// watchedBody gives up when nothing arrives.
type watchedBody struct {
	io.ReadCloser
	stop    clock.Timer
	timeout time.Duration
	cancel  context.CancelCauseFunc
}

// Read gives the storage time again.
func (b *watchedBody) Read(p []byte) (int, error) {
	b.stop.Reset(b.timeout)
	return b.ReadCloser.Read(p)
}

// Close ends the request.
func (b *watchedBody) Close() error {
	b.stop.Stop()
	defer b.cancel(nil)
	return b.ReadCloser.Close()
}

func (d *downloads) request(ctx context.Context, target velerov1.DownloadTarget, location string) (io.ReadCloser, error) {
	address, err := d.address(ctx, target)
	if err != nil {
		return nil, err
	}
	from, err := url.Parse(address)
	if err != nil {
		return nil, fmt.Errorf("reading the address of %s: it is not valid", target.Kind)
	}
	if isServed(from) {
		body, err := d.throughAPI(ctx, from)
		if !errors.Is(err, errNoProxy) {
			return body, err
		}
	}
	c, err := d.client(ctx, location)
	if err != nil {
		return nil, err
	}
	return d.fetch(ctx, c, from)
}

// fetch reads an address. The error leaves it out, because it lets anybody read the
// file.
func (d *downloads) fetch(ctx context.Context, c *http.Client, from *url.URL) (io.ReadCloser, error) {
	request := (&http.Request{Method: http.MethodGet, URL: from, Header: http.Header{}}).WithContext(ctx)
	response, err := c.Do(request)
	if err != nil {
		return nil, d.explainTransport(err, from.Host)
	}
	if response.StatusCode == http.StatusOK {
		return response.Body, nil
	}
	defer response.Body.Close() //nolint:errcheck // only read
	if response.StatusCode == http.StatusNotFound {
		return nil, describe.ErrNoFile
	}
	said, _ := io.ReadAll(io.LimitReader(response.Body, maxErrorBytes))
	return nil, refusal{host: from.Host, status: response.Status, code: response.StatusCode, said: describe.OneLine(string(said))}
}

// refusal is what a storage answers in place of a file.
type refusal struct {
	host, status, said string
	code               int
}

func (r refusal) Error() string {
	return fmt.Sprintf("the storage at %s answers %s: %s", r.host, r.status, r.said)
}

// explainTransport leaves the address out.
func (d *downloads) explainTransport(err error, host string) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return fmt.Errorf("the storage at %s: %w; name its certificates with --cacert, or accept any with --insecure-skip-tls-verify", host, err)
	}
	return fmt.Errorf("the storage at %s cannot be reached from here: %w; an address that can be is set as publicUrl in spec.config of the location", host, err)
}

// address asks the server for an address of a file, and waits for it.
func (d *downloads) address(ctx context.Context, target velerov1.DownloadTarget) (string, error) {
	suffix := "-" + string(uuid.NewUUID())
	name := target.Name[:min(len(target.Name), maxNameBytes-len(suffix))] + suffix
	request := &velerov1.DownloadRequest{
		ObjectMeta: metav1.ObjectMeta{Namespace: d.namespace, Name: name},
		Spec:       velerov1.DownloadRequestSpec{Target: target},
	}
	if err := d.Create(ctx, request); err != nil {
		return "", fmt.Errorf("asking for %s: %w", target.Kind, err)
	}
	asked := d.clock.Now()
	for wait := firstPoll; ; wait = min(wait*2, lastPoll) {
		select {
		case <-ctx.Done():
			return "", ctx.Err()
		case <-d.clock.After(wait):
		}
		if err := d.Get(ctx, client.ObjectKeyFromObject(request), request); err != nil {
			return "", fmt.Errorf("waiting for the address of %s: %w", target.Kind, err)
		}
		if request.Status.DownloadURL != "" {
			return request.Status.DownloadURL, nil
		}
		ready := meta.FindStatusCondition(request.Status.Conditions, velerov1.ConditionReady)
		if ready != nil && ready.Status == metav1.ConditionFalse && d.clock.Since(asked) > patience {
			return "", fmt.Errorf("the server has no address of %s: %s", target.Kind, describe.OneLine(ready.Message))
		}
	}
}

// client trusts the certificates of the flag or those of the location.
func (d *downloads) client(ctx context.Context, location string) (*http.Client, error) {
	if c, ok := d.clients[location]; ok {
		return c, nil
	}
	trusted, err := d.trusted(ctx, location)
	if err != nil {
		return nil, err
	}
	transport := mustBe[*http.Transport](http.DefaultTransport).Clone()
	transport.TLSClientConfig = &tls.Config{RootCAs: trusted, InsecureSkipVerify: d.flags.insecure, MinVersion: tls.VersionTLS12}
	// Files are gzip themselves.
	transport.DisableCompression = true
	c := &http.Client{Transport: transport}
	d.clients[location] = c
	return c, nil
}

// trusted are the certificates of the system and, in addition, those of the flag
// or of the location.
func (d *downloads) trusted(ctx context.Context, location string) (*x509.CertPool, error) {
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if d.flags.caCertFile != "" {
		data, err := os.ReadFile(d.flags.caCertFile)
		if err != nil {
			return nil, fmt.Errorf("--cacert: %w", err)
		}
		if !pool.AppendCertsFromPEM(data) {
			return nil, fmt.Errorf("--cacert: Invalid value: %q: holds no PEM certificate", d.flags.caCertFile)
		}
		return pool, nil
	}
	data, err := d.certificatesOf(ctx, location)
	if err != nil {
		fmt.Fprintf(d.warn, "WARNING: the certificates of location %s are not used: %s\n", location, err)
	}
	pool.AppendCertsFromPEM(data)
	return pool, nil
}

// fileSource is where the files of one backup or restore come from.
type fileSource struct {
	*downloads
	name     string
	location string
	exists   bool // there can be files
	skip     bool // nobody wants this one
}

// when is the same source for a file that is wanted only under a condition.
func (f fileSource) when(wanted bool) fileSource {
	f.skip = !wanted
	return f
}

// readFile fetches a file and decodes it.
func readFile[T any](ctx context.Context, f fileSource, kind velerov1.DownloadTargetKind) describe.File[T] {
	var file describe.File[T]
	switch {
	case f.skip:
		return file
	case !f.exists:
		file.Err = describe.ErrNoFile
		return file
	}
	body, err := f.open(ctx, velerov1.DownloadTarget{Kind: kind, Name: f.name}, f.location)
	if err != nil {
		file.Err = err
		return file
	}
	defer body.Close() //nolint:errcheck // only read
	file.Err = layout.DecodeJSONGzip(body, &file.Content)
	return file
}
