package download

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	clocktesting "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/config/crd"
	"github.com/podkeep/podkeep/internal/layout"
	"github.com/podkeep/podkeep/internal/locationaccess"
	"github.com/podkeep/podkeep/internal/objectstore"
)

// cluster is an API server, a folder and an S3 location, and the server's
// downloads.
type cluster struct {
	*WithT
	client     client.Client
	clock      *clocktesting.FakePassiveClock
	reconciler *Reconciler
	folder     string
	downloads  *httptest.Server

	// cut makes files end in an error.
	cut bool
}

// Store implements Locations.
func (c *cluster) Store(ctx context.Context, name string) (objectstore.Store, *velerov1.BackupStorageLocation, error) {
	r := &locationaccess.Resolver{Client: c.client, Namespace: "velero", CredentialsDir: filepath.Join(c.folder, "..")}
	store, bsl, err := r.Store(ctx, name)
	if c.cut {
		store = cutStore{store}
	}
	return store, bsl, err
}

// cutStore has files that end too early.
type cutStore struct{ objectstore.Store }

// Get implements objectstore.Store.
func (s cutStore) Get(ctx context.Context, key string) (io.ReadCloser, error) {
	body, err := s.Store.Get(ctx, key)
	if err != nil {
		return nil, err
	}
	return io.NopCloser(io.MultiReader(body, iotest.ErrReader(errCut))), nil
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	if _, ok := os.LookupEnv("KUBEBUILDER_ASSETS"); !ok {
		t.Skip("KUBEBUILDER_ASSETS does not name a folder with kube-apiserver and etcd, so downloads are not tried on an API server")
	}
	c := &cluster{WithT: NewWithT(t), clock: clocktesting.NewFakePassiveClock(time.Now()), folder: filepath.Join(t.TempDir(), "backups")}
	crds, err := crd.All()
	c.Expect(err).NotTo(HaveOccurred())
	env := &envtest.Environment{CRDs: crds}
	config, err := env.Start()
	c.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() { c.Expect(env.Stop()).To(Succeed()) })
	scheme := runtime.NewScheme()
	c.Expect(errors.Join(clientgoscheme.AddToScheme(scheme), velerov1.AddToScheme(scheme))).To(Succeed())
	c.client, err = client.New(config, client.Options{Scheme: scheme})
	c.Expect(err).NotTo(HaveOccurred())
	c.Expect(os.Mkdir(c.folder, 0o700)).To(Succeed())
	c.addLocations(t)

	files := &FileServer{Reader: c.client, Locations: c, Clock: c.clock, Namespace: "velero"}
	c.downloads = httptest.NewServer(files.Handler())
	t.Cleanup(c.downloads.Close)
	tokens := 0
	c.reconciler = &Reconciler{
		Client: c.client, Reader: c.client, Locations: c, Clock: c.clock, Namespace: "velero", BaseURL: c.downloads.URL,
		Token: func() string { tokens++; return fmt.Sprintf("token%d", tokens) },
	}
	return c
}

func (c *cluster) addLocations(t *testing.T) {
	t.Helper()
	c.Expect(c.client.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "velero"}})).To(Succeed())
	for name, spec := range map[string]velerov1.BackupStorageLocationSpec{
		"folder": {Provider: "filesystem", Config: map[string]string{"fspath": c.folder}},
		"public": {Provider: "filesystem", Config: map[string]string{"fspath": c.folder, "publicUrl": "https://podkeep.example.com/"}},
		"s3": {Provider: "aws", Config: map[string]string{"s3Url": "http://127.0.0.1:1", "region": "r"},
			Credential: &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: "keys"}, Key: "cloud"}},
		"no-keys": {Provider: "aws", Config: map[string]string{"s3Url": "http://127.0.0.1:1", "region": "r"},
			Credential: &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: "missing"}, Key: "cloud"}},
	} {
		spec.ObjectStorage = &velerov1.ObjectStorageLocation{Bucket: "bucket"}
		l := &velerov1.BackupStorageLocation{ObjectMeta: metav1.ObjectMeta{Namespace: "velero", Name: name}, Spec: spec}
		c.Expect(c.client.Create(t.Context(), l)).To(Succeed())
		c.Expect(c.client.Create(t.Context(), &velerov1.Backup{
			ObjectMeta: metav1.ObjectMeta{Namespace: "velero", Name: "in-" + name}, Spec: velerov1.BackupSpec{StorageLocation: name},
		})).To(Succeed())
	}
	c.Expect(c.client.Create(t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: "velero", Name: "keys"},
		StringData: map[string]string{"cloud": "[default]\naws_access_key_id=a\naws_secret_access_key=b\n"},
	})).To(Succeed())
}

// request makes a request and reconciles it once.
func (c *cluster) request(t *testing.T, kind velerov1.DownloadTargetKind, name string) *velerov1.DownloadRequest {
	t.Helper()
	r := &velerov1.DownloadRequest{
		ObjectMeta: metav1.ObjectMeta{Namespace: "velero", GenerateName: name + "-"},
		Spec:       velerov1.DownloadRequestSpec{Target: velerov1.DownloadTarget{Kind: kind, Name: name}},
	}
	c.Expect(c.client.Create(t.Context(), r)).To(Succeed())
	c.clock.SetTime(r.CreationTimestamp.Time)
	c.reconcile(t, r)
	return r
}

// reconcile looks at the request once; it reports whether the request is still
// there.
func (c *cluster) reconcile(t *testing.T, r *velerov1.DownloadRequest) bool {
	t.Helper()
	_, err := c.reconciler.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(r)})
	c.Expect(err).NotTo(HaveOccurred())
	err = c.client.Get(t.Context(), client.ObjectKeyFromObject(r), r)
	if apierrors.IsNotFound(err) {
		return false
	}
	c.Expect(err).NotTo(HaveOccurred())
	return true
}

func (c *cluster) write(t *testing.T, key, content string) {
	t.Helper()
	store, _, err := c.Store(t.Context(), "folder")
	c.Expect(err).NotTo(HaveOccurred())
	c.Expect(store.Put(t.Context(), key, strings.NewReader(content))).To(Succeed())
}

// fetch reads an address; err is that of a body that was cut off.
func (c *cluster) fetch(t *testing.T, address string) (status int, body string, err error) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	c.Expect(err).NotTo(HaveOccurred())
	response, err := http.DefaultClient.Do(request)
	c.Expect(err).NotTo(HaveOccurred())
	defer func() { _ = response.Body.Close() }()
	content, err := io.ReadAll(response.Body)
	return response.StatusCode, string(content), err
}

// TestDownloads tells stories on one API server.
func TestDownloads(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	large := strings.Repeat("0123456789", 1<<17)
	c.write(t, layout.BackupLog("in-folder"), large)
	c.write(t, layout.RestoreLog("again"), "restored")
	c.Expect(c.client.Create(t.Context(), &velerov1.Restore{
		ObjectMeta: metav1.ObjectMeta{Namespace: "velero", Name: "again"}, Spec: velerov1.RestoreSpec{BackupName: "in-folder"},
	})).To(Succeed())

	t.Run("a file of a folder is served", func(t *testing.T) {
		r := c.request(t, velerov1.DownloadTargetKindBackupLog, "in-folder")

		c.Expect(r.Status.Phase).To(Equal(velerov1.DownloadRequestPhaseProcessed))
		c.Expect(r.Status.Conditions).To(ConsistOf(HaveField("Status", metav1.ConditionTrue)))
		status, body, err := c.fetch(t, r.Status.DownloadURL)
		c.Expect(err).NotTo(HaveOccurred())
		c.Expect(status).To(Equal(http.StatusOK))
		c.Expect(body == large).To(BeTrue())
	})
	t.Run("a file of a restore is where its backup is", func(t *testing.T) {
		r := c.request(t, velerov1.DownloadTargetKindRestoreLog, "again")

		_, body, err := c.fetch(t, r.Status.DownloadURL)
		c.Expect(err).NotTo(HaveOccurred())
		c.Expect(body).To(Equal("restored"))
	})
	t.Run("a file that is not there says so, to people and to clients", func(t *testing.T) {
		r := c.request(t, velerov1.DownloadTargetKindBackupResults, "in-folder")

		c.Expect(r.Status.Conditions).To(ConsistOf(HaveField("Reason", velerov1.ReasonObjectNotFound)))
		status, body, _ := c.fetch(t, r.Status.DownloadURL)
		c.Expect(status).To(Equal(http.StatusNotFound))
		c.Expect(body).To(ContainSubstring("there is no file backups/in-folder/in-folder-results.gz in location folder"))
	})
	t.Run("an address is not given twice", func(t *testing.T) {
		r := c.request(t, velerov1.DownloadTargetKindBackupLog, "in-folder")
		before := r.DeepCopy()

		c.reconcile(t, r)

		c.Expect(r).To(Equal(before))
	})
	t.Run("an address ends with its request", func(t *testing.T) {
		r := c.request(t, velerov1.DownloadTargetKindBackupLog, "in-folder")
		c.clock.SetTime(r.Status.Expiration.Time)

		status, _, _ := c.fetch(t, r.Status.DownloadURL)
		c.Expect(status).To(Equal(http.StatusForbidden), "expired")

		c.Expect(c.reconcile(t, r)).To(BeFalse())
		status, _, _ = c.fetch(t, r.Status.DownloadURL)
		c.Expect(status).To(Equal(http.StatusForbidden), "gone")
	})
	t.Run("nothing else is served", func(t *testing.T) {
		r := c.request(t, velerov1.DownloadTargetKindBackupLog, "in-folder")
		for _, path := range []string{
			"/", "/download", "/download/", "/download/" + r.Name, "/download/" + r.Name + "/", "/download/" + r.Name + "/guess",
			"/download/other/token1", "/download/..%2f..%2fetc/passwd", "/download/" + r.Name + "/../../backups",
		} {
			status, body, _ := c.fetch(t, c.downloads.URL+path)
			c.Expect(status).To(Or(Equal(http.StatusForbidden), Equal(http.StatusNotFound)), path)
			c.Expect(body).NotTo(ContainSubstring("0123456789"), path)
		}
		response, err := http.Post(r.Status.DownloadURL, "", nil)
		c.Expect(err).NotTo(HaveOccurred())
		c.Expect(response.Body.Close()).To(Succeed())
		c.Expect(response.StatusCode).To(Equal(http.StatusMethodNotAllowed))
	})
	t.Run("a public URL of the location is used", func(t *testing.T) {
		r := c.request(t, velerov1.DownloadTargetKindBackupLog, "in-public")

		c.Expect(r.Status.DownloadURL).To(HavePrefix("https://podkeep.example.com/download/in-public-"))
	})
	t.Run("a bucket signs its own address", func(t *testing.T) {
		r := c.request(t, velerov1.DownloadTargetKindBackupContents, "in-s3")

		c.Expect(r.Status.DownloadURL).To(And(HavePrefix("http://127.0.0.1:1/bucket/backups/in-s3/in-s3.tar.gz?"), ContainSubstring("X-Amz-Expires=600")))
		c.Expect(r.Status.Conditions).To(ConsistOf(HaveField("Reason", velerov1.ReasonStorageUnavailable)), "the server cannot reach it")
	})
	t.Run("who asks for what is not there learns why", func(t *testing.T) {
		for name, tc := range map[string]struct {
			kind   velerov1.DownloadTargetKind
			target string
			want   string
		}{
			"no backup":  {velerov1.DownloadTargetKindBackupLog, "missing", velerov1.ReasonBackupNotFound},
			"no restore": {velerov1.DownloadTargetKindRestoreLog, "missing", velerov1.ReasonRestoreNotFound},
			"no keys":    {velerov1.DownloadTargetKindBackupLog, "in-no-keys", velerov1.ReasonAccessDenied},
		} {
			r := c.request(t, tc.kind, tc.target)
			c.Expect(r.Status.Conditions).To(ConsistOf(HaveField("Reason", tc.want)), name)
			c.Expect(r.Status.DownloadURL).To(BeEmpty())
			c.Expect(r.Status.Phase).To(Equal(velerov1.DownloadRequestPhaseNew))

			c.clock.SetTime(r.CreationTimestamp.Add(lifetime))
			c.Expect(c.reconcile(t, r)).To(BeFalse(), "it does not stay for ever")
		}
	})
	t.Run("half a file is not taken for a whole one", func(t *testing.T) {
		r := c.request(t, velerov1.DownloadTargetKindBackupLog, "in-folder")
		c.cut = true
		defer func() { c.cut = false }()

		_, _, err := c.fetch(t, r.Status.DownloadURL)

		c.Expect(err).To(HaveOccurred())
	})
}
