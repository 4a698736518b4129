package download

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/objectstore"
)

const (
	// pathPrefix begins the path of every address that the server serves.
	pathPrefix = "/download/"

	// maxDownloads bounds requests that are served at once, and so the connections
	// and the calls of the API that strangers can cause.
	maxDownloads = 8

	// headerTimeout and stallTimeout bound how long a client may take to ask, and to
	// take the next piece.
	headerTimeout = 10 * time.Second
	stallTimeout  = time.Minute
)

// servedPath is the path of the address of a request's file.
func servedPath(request, token string) string { return pathPrefix + request + "/" + token }

// FileServer serves files of locations that have no addresses of their own. What
// may be read is written in the DownloadRequests: an address works while the
// request that has it exists and has not expired, in every replica of the server
// and across restarts. It lists nothing, and never says which requests exist.
type FileServer struct {
	// Reader reads from the API server: a client is quicker than a cache.
	Reader    client.Reader
	Locations Locations
	Clock     clock.PassiveClock
	Namespace string
}

// Handler is the server's HTTP side.
func (s *FileServer) Handler() http.Handler {
	slots := make(chan struct{}, maxDownloads)
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+pathPrefix+"{request}/{token}", func(w http.ResponseWriter, r *http.Request) {
		select {
		case slots <- struct{}{}:
			defer func() { <-slots }()
			s.serve(w, r)
		default:
			w.Header().Set("Retry-After", "5")
			http.Error(w, "podkeep serves as many downloads as it may; try again soon", http.StatusServiceUnavailable)
		}
	})
	return mux
}

// Server is an HTTP server for the handler.
func (s *FileServer) Server(address string) *http.Server {
	return &http.Server{Addr: address, Handler: s.Handler(), ReadHeaderTimeout: headerTimeout, ReadTimeout: headerTimeout, IdleTimeout: stallTimeout}
}

// Answers to who asks for what there is not. Velero's client takes 404 for "not
// found" and prints the text of others.
var (
	errNoAddress = errors.New("this address does not exist or has expired; ask for a new one")
	errCluster   = errors.New("podkeep cannot reach the cluster; try again soon")
)

func (s *FileServer) serve(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	f, status, err := s.admit(ctx, r.PathValue("request"), r.URL.Path)
	if err != nil {
		http.Error(w, "podkeep: "+err.Error(), status)
		return
	}
	body, err := f.store.Get(ctx, f.key)
	switch {
	case errors.Is(err, objectstore.ErrNotFound):
		http.Error(w, "podkeep: "+notThere(f).message, http.StatusNotFound)
		return
	case err != nil:
		ctrl.LoggerFrom(ctx).Error(err, "Opening a file for download", "key", f.key)
		http.Error(w, "podkeep: "+obstacleOf(err).message, http.StatusBadGateway)
		return
	}
	defer func() { _ = body.Close() }()
	s.send(w, r, f.key, body)
}

// admit returns the file that an address stands for.
func (s *FileServer) admit(ctx context.Context, name, requested string) (file, int, error) {
	if len(validation.IsDNS1123Subdomain(name)) > 0 {
		return file{}, http.StatusForbidden, errNoAddress
	}
	request := &velerov1.DownloadRequest{}
	err := s.Reader.Get(ctx, client.ObjectKey{Namespace: s.Namespace, Name: name}, request)
	switch {
	case apierrors.IsNotFound(err):
		return file{}, http.StatusForbidden, errNoAddress
	case err != nil:
		ctrl.LoggerFrom(ctx).Error(err, "Getting a DownloadRequest", "DownloadRequest", name)
		return file{}, http.StatusServiceUnavailable, errCluster
	case !isAddressOf(request, requested) || !s.Clock.Now().Before(expiration(request)):
		return file{}, http.StatusForbidden, errNoAddress
	}
	f, why, err := finder{reader: s.Reader, locations: s.Locations, namespace: s.Namespace}.find(ctx, request.Spec.Target)
	switch {
	case err != nil:
		ctrl.LoggerFrom(ctx).Error(err, "Finding the file of a DownloadRequest", "DownloadRequest", name)
		return file{}, http.StatusServiceUnavailable, errCluster
	case why != nil:
		return file{}, http.StatusNotFound, errors.New(why.message)
	default:
		return f, 0, nil
	}
}

// isAddressOf compares in a time that says nothing about the token.
func isAddressOf(r *velerov1.DownloadRequest, requested string) bool {
	address, err := url.Parse(r.Status.DownloadURL)
	return err == nil && r.Status.DownloadURL != "" && subtle.ConstantTimeCompare([]byte(address.Path), []byte(requested)) == 1
}

// send streams the file as it is: clients unpack it themselves.
func (s *FileServer) send(w http.ResponseWriter, r *http.Request, key string, body io.Reader) {
	h := w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Content-Disposition", fmt.Sprintf("attachment; filename=%q", path.Base(key)))
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	if size, ok := sizeOf(body); ok {
		h.Set("Content-Length", strconv.FormatInt(size, 10))
	}
	if r.Method == http.MethodHead {
		return
	}
	_, err := io.Copy(patientWriter{w: w, control: http.NewResponseController(w), clock: s.Clock}, body)
	if err != nil {
		ctrl.LoggerFrom(r.Context()).Info("Ending a download", "key", key, "reason", err.Error())
		// Without this the client would take half a file for a whole one.
		panic(http.ErrAbortHandler)
	}
}

// sizeOf is the size of a file, if the store knows it.
func sizeOf(body io.Reader) (int64, bool) {
	f, ok := body.(interface{ Stat() (fs.FileInfo, error) })
	if !ok {
		return 0, false
	}
	info, err := f.Stat()
	if err != nil {
		return 0, false
	}
	return info.Size(), true
}

// patientWriter ends a connection that takes nothing, and not one that is slow.
type patientWriter struct {
	w       io.Writer
	control *http.ResponseController
	clock   clock.PassiveClock
}

// Write implements io.Writer.
func (p patientWriter) Write(b []byte) (int, error) {
	// Not every connection has deadlines; then there is none.
	_ = p.control.SetWriteDeadline(p.clock.Now().Add(stallTimeout))
	return p.w.Write(b)
}
