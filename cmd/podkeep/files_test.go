package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/layout"
)

// noFuncs leaves a cluster as it is.
var noFuncs = interceptor.Funcs{}

// storage is object storage with files, by the kinds of their requests.
type storage map[velerov1.DownloadTargetKind][]byte

// serve answers for the storage over TLS, and for any other path with an error.
func (s storage) serve(t *testing.T) *httptest.Server {
	t.Helper()
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/denied" {
			http.Error(w, "<Error>AccessDenied\x1b[2J</Error>", http.StatusForbidden)
			return
		}
		data, ok := s[velerov1.DownloadTargetKind(r.URL.Path[1:])]
		if !ok || r.URL.RawQuery != "signature=x" {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write(data)
	}))
	t.Cleanup(server.Close)
	return server
}

// answering is a server that answers download requests with addresses of a storage.
func answering(address func(velerov1.DownloadTargetKind) string) interceptor.Funcs {
	return interceptor.Funcs{
		Create: func(ctx context.Context, c client.WithWatch, obj client.Object, opts ...client.CreateOption) error {
			switch r := obj.(type) {
			case *velerov1.DownloadRequest:
				r.Status = velerov1.DownloadRequestStatus{Phase: velerov1.DownloadRequestPhaseProcessed, DownloadURL: address(r.Spec.Target.Kind)}
			case *velerov1.ServerStatusRequest:
				r.Status = velerov1.ServerStatusRequestStatus{Phase: velerov1.ServerStatusRequestPhaseProcessed, ServerVersion: "v1.2.3"}
			}
			return c.Create(ctx, obj, opts...)
		},
	}
}

func zipped(t *testing.T, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, err := z.Write([]byte(text))
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	NewWithT(t).Expect(z.Close()).To(Succeed())
	return b.Bytes()
}

func encoded(t *testing.T, v any) []byte {
	t.Helper()
	var b bytes.Buffer
	NewWithT(t).Expect(layout.EncodeJSONGzip(&b, v)).To(Succeed())
	return b.Bytes()
}

func filesOf(t *testing.T) storage {
	t.Helper()
	results := layout.Results{}
	results.Errors.Add("shop", " name: /db-0 message: /no data")
	resources := layout.ResourceList{"v1/Pod": {"shop/db-0"}}
	return storage{
		velerov1.DownloadTargetKindBackupLog:           zipped(t, "level=info msg=\"Backing up\"\n"),
		velerov1.DownloadTargetKindRestoreLog:          zipped(t, "level=info msg=\"Restoring\"\n"),
		velerov1.DownloadTargetKindBackupContents:      []byte("an archive"),
		velerov1.DownloadTargetKindBackupResults:       encoded(t, results),
		velerov1.DownloadTargetKindBackupResourceList:  encoded(t, resources),
		velerov1.DownloadTargetKindBackupVolumeInfos:   encoded(t, layout.VolumeInfoList{}),
		velerov1.DownloadTargetKindRestoreResults:      encoded(t, results),
		velerov1.DownloadTargetKindRestoreResourceList: encoded(t, resources),
		velerov1.DownloadTargetKindRestoreVolumeInfo:   encoded(t, layout.RestoreVolumeInfoList{}),
	}
}

// shop is a cluster with a backup and its restore, whose files are in a storage.
func shop(t *testing.T, server *httptest.Server) client.WithWatch {
	t.Helper()
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	failed := velerov1.BackupStatus{Phase: velerov1.BackupPhasePartiallyFailed, Errors: 1}
	return apiWith(t, answering(func(k velerov1.DownloadTargetKind) string { return server.URL + "/" + string(k) + "?signature=x" }),
		&velerov1.Backup{ObjectMeta: object("shop-1"), Spec: velerov1.BackupSpec{StorageLocation: "default"}, Status: failed},
		&velerov1.Backup{ObjectMeta: object("running"), Status: velerov1.BackupStatus{Phase: velerov1.BackupPhaseInProgress}},
		&velerov1.Backup{ObjectMeta: object("rejected"), Status: velerov1.BackupStatus{Phase: velerov1.BackupPhaseFailedValidation}},
		&velerov1.Restore{
			ObjectMeta: object("back"), Spec: velerov1.RestoreSpec{BackupName: "shop-1"},
			Status: velerov1.RestoreStatus{Phase: velerov1.RestorePhasePartiallyFailed, Errors: 1},
		},
		&velerov1.BackupStorageLocation{ObjectMeta: object("default"), Spec: velerov1.BackupStorageLocationSpec{
			StorageType: velerov1.StorageType{ObjectStorage: &velerov1.ObjectStorageLocation{
				CACertRef: &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: "storage-ca"}, Key: "ca.crt"},
			}},
		}},
		&corev1.Secret{ObjectMeta: object("storage-ca"), Data: map[string][]byte{"ca.crt": certificate}},
	)
}

func object(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Namespace: "velero", Name: name} }

func TestLogs(t *testing.T) {
	t.Parallel()
	c := shop(t, filesOf(t).serve(t))
	tests := map[string]struct {
		args []string
		want output
	}{
		"of a backup":  {[]string{"backup", "logs", "shop-1"}, output{out: "level=info msg=\"Backing up\"\n"}},
		"of a restore": {[]string{"logs", "restore", "back"}, output{out: "level=info msg=\"Restoring\"\n"}},
		"of a backup that runs": {[]string{"backup", "logs", "running"}, output{
			err: "podkeep: logs for backup \"running\" are not available until it's finished processing, please wait until the backup has a phase of " +
				"Completed or Failed and try again; look at it with: podkeep backup describe running\n", code: exitFailed,
		}},
		"of a backup that never ran": {[]string{"backup", "logs", "rejected"}, output{
			err: "podkeep: backup \"rejected\" has no log: it was never started; see why with: podkeep backup describe rejected\n", code: exitFailed,
		}},
		"of none": {[]string{"backup", "logs", "x"}, output{
			err: "podkeep: backup \"x\" not found in namespace velero; list backups with: podkeep backup get\n", code: exitFailed,
		}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			NewWithT(t).Expect(podkeep(t.Context(), c, tc.args...)).To(Equal(tc.want))
		})
	}
}

func TestLogsOnATerminalHaveNoControlCharacters(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	files := storage{velerov1.DownloadTargetKindBackupLog: zipped(t, "a\tb\x1b[2J\nc\r\n")}
	s := newSession(shop(t, files.serve(t)))
	s.terminal = func(io.Writer) *terminal { return &terminal{} }

	g.Expect(s.run(t.Context(), "backup", "logs", "shop-1").out).To(Equal("a\tb [2J\nc \n"))
}

func TestDownloadsThatFail(t *testing.T) {
	t.Parallel()
	empty := storage{}.serve(t)
	untrusted := shop(t, empty)
	g := NewWithT(t)
	g.Expect(untrusted.Delete(t.Context(), &corev1.Secret{ObjectMeta: object("storage-ca")})).To(Succeed())
	answer := func(url string) client.WithWatch {
		return apiWith(t, answering(func(velerov1.DownloadTargetKind) string { return url }),
			&velerov1.Backup{ObjectMeta: object("shop-1"), Status: velerov1.BackupStatus{Phase: velerov1.BackupPhaseCompleted}})
	}
	tests := map[string]struct {
		c    client.WithWatch
		args []string
		want string
	}{
		"a log that is not there":        {shop(t, empty), nil, `backup "shop-1" has no log in the storage location; look at it with: podkeep backup describe shop-1`},
		"certificates that nobody knows": {untrusted, nil, `name its certificates with --cacert, or accept any with --insecure-skip-tls-verify`},
		"certificates that are skipped":  {untrusted, []string{"--insecure-skip-tls-verify"}, `has no log in the storage location`},
		"certificates in no file":        {untrusted, []string{"--cacert", "/does/not/exist"}, `--cacert: open /does/not/exist: no such file or directory`},
		"certificates that are none":     {untrusted, []string{"--cacert", "files_test.go"}, `--cacert: Invalid value: "files_test.go": holds no PEM certificate`},
		"a storage that refuses": {
			answer(empty.URL + "/denied?signature=x"), []string{"--insecure-skip-tls-verify"}, `answers 403 Forbidden: <Error>AccessDenied [2J</Error>`,
		},
		"a storage that cannot be reached": {
			answer("http://127.0.0.1:1/x?signature=hush"), nil, `the storage at 127.0.0.1:1 cannot be reached from here: dial tcp 127.0.0.1:1: connect: connection refused; `,
		},
		"a server that does not answer": {answer(""), []string{"--timeout", "60ms"}, `the server has not answered the download request`},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)

			got := podkeep(t.Context(), tc.c, append([]string{"backup", "logs", "shop-1"}, tc.args...)...)

			g.Expect(got.err).To(ContainSubstring(tc.want))
			g.Expect(got.err).NotTo(ContainSubstring("hush"), "an address lets anybody read the file")
			g.Expect(got.code).To(Equal(exitFailed))
		})
	}
}

func TestFilesThatTheServerServesComeThroughTheAPIServer(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		answer func(http.ResponseWriter)
		want   output
	}{
		"a log, of a cluster behind a path": {
			func(w http.ResponseWriter) { _, _ = w.Write(zipped(t, "the log\n")) }, output{out: "the log\n"},
		},
		"a log that is not there": {
			func(w http.ResponseWriter) { http.Error(w, "", http.StatusNotFound) },
			output{err: "podkeep: backup \"shop-1\" has no log in the storage location; look at it with: podkeep backup describe shop-1\n", code: exitFailed},
		},
		"a user without the right": {
			func(w http.ResponseWriter) {
				http.Error(w, `cannot get resource "services/proxy"`, http.StatusForbidden)
			},
			output{err: "You may not use the API server's proxy; this works while you run: kubectl -n velero port-forward service/podkeep-download 8087\n", code: exitFailed},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			prefix := ""
			if strings.Contains(name, "path") {
				prefix = "/k8s"
			}
			api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				g.Expect(r.URL.Path).To(Equal(prefix + "/api/v1/namespaces/velero/services/http:podkeep-download:http/proxy/download/x/token"))
				tc.answer(w)
			}))
			defer api.Close()
			base, err := url.Parse(api.URL + prefix)
			g.Expect(err).NotTo(HaveOccurred())
			s := newSession(apiWith(t, answering(func(velerov1.DownloadTargetKind) string { return "http://localhost:8087/download/x/token" }),
				&velerov1.Backup{ObjectMeta: object("shop-1"), Status: velerov1.BackupStatus{Phase: velerov1.BackupPhaseCompleted}}))
			s.api = func() (apiServer, error) { return apiServer{base: base, client: api.Client()}, nil }

			got := s.run(t.Context(), "backup", "logs", "shop-1")

			g.Expect(got.code).To(Equal(tc.want.code))
			g.Expect(got.out).To(Equal(tc.want.out))
			g.Expect(got.err).To(HavePrefix(tc.want.err))
		})
	}
}

func TestDownloadGivesUpAStorageThatHangs(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	release := make(chan struct{})
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("the beginning"))
		w.(http.Flusher).Flush()
		<-release
	}))
	defer server.Close()
	defer close(release)
	file := filepath.Join(t.TempDir(), "x")

	got := podkeep(t.Context(), shop(t, server), "backup", "download", "shop-1", "-o", file, "--timeout", "100ms")

	g.Expect(got.code).To(Equal(exitFailed))
	g.Expect(filepath.Glob(file + "*")).To(BeEmpty())
}

func TestBackupDownload(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	c := shop(t, filesOf(t).serve(t))
	file := filepath.Join(t.TempDir(), "shop.tar.gz")

	got := podkeep(t.Context(), c, "backup", "download", "shop-1", "-o", file)
	again := podkeep(t.Context(), c, "backup", "download", "shop-1", "-o", file)
	forced := podkeep(t.Context(), c, "download", "backup", "shop-1", "-o", file, "--force")

	g.Expect(got).To(Equal(output{out: "Backup shop-1 has been successfully downloaded to " + file + "\n"}))
	g.Expect(again.err).To(Equal("podkeep: " + file + " exists already; choose another file with --output, or replace it with --force\n"))
	g.Expect(forced.code).To(Equal(exitOK))
	g.Expect(os.ReadFile(file)).To(Equal([]byte("an archive")))
	info, err := os.Stat(file)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(info.Mode().Perm()).To(Equal(os.FileMode(0o600)))
}

func TestDescribeShowsFiles(t *testing.T) {
	t.Parallel()
	c := shop(t, filesOf(t).serve(t))
	tests := map[string]struct {
		args []string
		want []string
	}{
		"of a backup": {
			[]string{"backup", "describe", "shop-1", "--details"},
			[]string{"(run `podkeep backup logs shop-1` for more information)", "Errors:\n", "shop:   name: /db-0 message: /no data\n", "v1/Pod:\n    - shop/db-0\n"},
		},
		"of a backup, as JSON": {
			[]string{"backup", "describe", "shop-1", "--details", "-o", "json"},
			[]string{`"resourceList": {`, `"csiSnapshots": "<none included>"`},
		},
		"of a restore":          {[]string{"describe", "restore", "back", "--details"}, []string{"CSI Snapshot Restores: <none included>\n", "v1/Pod:\n"}},
		"of a backup that runs": {[]string{"backup", "describe", "running"}, []string{"CSI Snapshots: <none included or not detectable>\n"}},
		"of several backups":    {[]string{"describe", "backups", "running", "rejected"}, []string{"Name:         running\n", "\n\n\nName:         rejected\n"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)

			got := podkeep(t.Context(), c, tc.args...)

			g.Expect(got.err).To(BeEmpty())
			for _, want := range tc.want {
				g.Expect(got.out).To(ContainSubstring(want))
			}
			g.Expect(got.out).NotTo(ContainSubstring("<error"))
		})
	}
}

func TestDescribeWithoutAServer(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	c := shop(t, storage{}.serve(t))
	d := &describing{cluster: cluster{WithWatch: c, namespace: "velero", program: programName}}
	d.files = newSession(c).newDownloads(d.cluster, downloadFlags{timeout: time.Hour}, io.Discard)
	d.files.broken = errNoAnswer
	b := &velerov1.Backup{}
	g.Expect(c.Get(t.Context(), client.ObjectKey{Namespace: "velero", Name: "shop-1"}, b)).To(Succeed())

	page, err := describeBackup(t.Context(), d, b)

	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(page.Page()).To(ContainSubstring("Errors:    1\n"))
	g.Expect(page.Page()).To(ContainSubstring("<error getting backup volume info: the server has not answered"))
	g.Expect(page.Page()).To(ContainSubstring("Pod Volume Backups: <none included>"), "what the cluster knows is shown")
}

func TestDebugBundleHasNoSecrets(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	c := shop(t, filesOf(t).serve(t))
	pod := &corev1.Pod{
		ObjectMeta: object("velero-0"),
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "velero", Env: []corev1.EnvVar{{Name: "HTTPS_PROXY", Value: "http://u:hush@proxy"}}}}},
		Status:     corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{Name: "velero", RestartCount: 1}}},
	}
	pod.Annotations = map[string]string{corev1.LastAppliedConfigAnnotation: "hush"}
	deployment := &appsv1.Deployment{ObjectMeta: object("velero")}
	deployment.Spec.Template.Spec = pod.Spec
	g.Expect(c.Create(t.Context(), pod.DeepCopy())).To(Succeed())
	g.Expect(c.Create(t.Context(), deployment.DeepCopy())).To(Succeed())
	g.Expect(c.Create(t.Context(), &velerov1.DownloadRequest{ObjectMeta: object("earlier")})).To(Succeed())
	s := newSession(c)
	s.podLog = func(_ context.Context, r podLogRequest) (io.ReadCloser, error) {
		if r.previous {
			return nil, errors.New("the log is gone")
		}
		return io.NopCloser(strings.NewReader("log of " + r.container)), nil
	}
	file := filepath.Join(t.TempDir(), "bundle.tar.gz")

	got := s.run(t.Context(), "debug", "--output", file, "--backup", "shop-1", "--restore", "back")

	g.Expect(got).To(Equal(output{out: "Generated debug information bundle: " + file + "\n"}))
	bundle := readBundle(t, file)
	g.Expect(bundle).To(HaveKey("velero-bundle/objects/backups.json"))
	g.Expect(bundle).To(HaveKeyWithValue("velero-bundle/backup_shop-1.log", "level=info msg=\"Backing up\"\n"))
	g.Expect(bundle).To(HaveKeyWithValue("velero-bundle/restore_describe_back.txt", ContainSubstring("Backup:  shop-1")))
	g.Expect(bundle).To(HaveKeyWithValue("velero-bundle/logs/velero-0/velero.log", "log of velero"))
	g.Expect(bundle).To(HaveKeyWithValue("velero-bundle/errors.txt", "logs/velero-0/velero.previous.log: the log is gone\n"))
	g.Expect(bundle).To(HaveKeyWithValue("velero-bundle/objects/downloadrequests.json", ContainSubstring(removed)))
	for name, text := range bundle {
		g.Expect(text).NotTo(ContainSubstring("hush"), name)
		g.Expect(text).NotTo(ContainSubstring("signature"), name)
		g.Expect(text).NotTo(ContainSubstring(`"kind": "Secret"`), name)
	}
}

func readBundle(t *testing.T, file string) map[string]string {
	t.Helper()
	g := NewWithT(t)
	f, err := os.Open(file)
	g.Expect(err).NotTo(HaveOccurred())
	defer f.Close()
	z, err := gzip.NewReader(f)
	g.Expect(err).NotTo(HaveOccurred())
	texts := map[string]string{}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return texts
		}
		g.Expect(err).NotTo(HaveOccurred())
		data, err := io.ReadAll(r)
		g.Expect(err).NotTo(HaveOccurred())
		texts[h.Name] = string(data)
	}
}
