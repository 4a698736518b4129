package webhook

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	admissionv1 "k8s.io/api/admission/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clocktesting "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/configmaps"
	"github.com/podkeep/podkeep/internal/gateconfig"
	"github.com/podkeep/podkeep/webhook/registration"
)

// readers is a manager of which only the readers are used.
type readers struct {
	ctrl.Manager
	cached, live *world
}

func (r readers) GetClient() client.Client    { return worldClient{world: r.cached} }
func (r readers) GetAPIReader() client.Reader { return r.live }

// served returns what the webhook serves: the real handlers at their paths, with a
// cache and an API server of a few objects.
func served(tb testing.TB, cached, live *world) http.Handler {
	tb.Helper()
	s := &Server{
		Namespace: installNamespace, DefaultGateImage: gateImage, ConfigMaps: configmaps.Names{NodeAgent: "node-agent-config"},
		Metrics: prometheus.NewRegistry(), Clock: clocktesting.NewFakeClock(time.Unix(0, 0)),
	}
	server := s.newServer(nil)
	if err := s.register(server, readers{cached: cached, live: live}); err != nil {
		tb.Fatal(err)
	}
	return server.WebhookMux()
}

// post sends an AdmissionReview as the API server does.
func post(tb testing.TB, h http.Handler, path string, body []byte) *httptest.ResponseRecorder {
	tb.Helper()
	req := httptest.NewRequestWithContext(tb.Context(), http.MethodPost, path, bytes.NewReader(body))
	req.Header.Set("Content-Type", "application/json")
	recorder := httptest.NewRecorder()
	h.ServeHTTP(recorder, req)
	return recorder
}

// request is an AdmissionReview about an object. old is nil at CREATE.
func request(tb testing.TB, kind schema.GroupVersionKind, object, old client.Object) []byte {
	tb.Helper()
	raw := func(o client.Object) runtime.RawExtension {
		data, err := json.Marshal(o)
		if err != nil {
			tb.Fatal(err)
		}
		return runtime.RawExtension{Raw: data}
	}
	review := admissionv1.AdmissionReview{
		TypeMeta: metav1.TypeMeta{APIVersion: "admission.k8s.io/v1", Kind: "AdmissionReview"},
		Request: &admissionv1.AdmissionRequest{
			UID: "request-uid", Operation: admissionv1.Create, Namespace: object.GetNamespace(), Name: object.GetName(),
			Kind: metav1.GroupVersionKind(kind), Object: raw(object),
		},
	}
	if old != nil {
		review.Request.Operation, review.Request.OldObject = admissionv1.Update, raw(old)
	}
	body, err := json.Marshal(review)
	if err != nil {
		tb.Fatal(err)
	}
	return body
}

func answerOf(tb testing.TB, recorder *httptest.ResponseRecorder) *admissionv1.AdmissionResponse {
	tb.Helper()
	var review admissionv1.AdmissionReview
	if err := json.Unmarshal(recorder.Body.Bytes(), &review); err != nil {
		tb.Fatalf("no AdmissionReview: %v: %s", err, recorder.Body)
	}
	if recorder.Code != http.StatusOK || review.Response == nil || review.Response.Result == nil {
		tb.Fatalf("no answer: %d %s", recorder.Code, recorder.Body)
	}
	return review.Response
}

var (
	configMapKind  = corev1.SchemeGroupVersion.WithKind("ConfigMap")
	podKind        = corev1.SchemeGroupVersion.WithKind("Pod")
	backupKind     = velerov1.SchemeGroupVersion.WithKind("Backup")
	deploymentKind = appsv1.SchemeGroupVersion.WithKind("Deployment")
)

func backup(spec velerov1.BackupSpec, phase velerov1.BackupPhase) *velerov1.Backup {
	b := &velerov1.Backup{Spec: spec}
	b.Namespace, b.Name, b.Status.Phase = installNamespace, "b", phase
	return b
}

func nodeAgentConfig(text string) *corev1.ConfigMap {
	cm := &corev1.ConfigMap{Data: map[string]string{"x": text}}
	cm.Namespace, cm.Name = installNamespace, "node-agent-config"
	return cm
}

func elsewhere(o *corev1.ConfigMap) *corev1.ConfigMap { o.Namespace = "shop"; return o }

func deployment(mods ...func(*corev1.Pod)) *appsv1.Deployment {
	pod := podWith(mods...)
	d := &appsv1.Deployment{Spec: appsv1.DeploymentSpec{Template: corev1.PodTemplateSpec{ObjectMeta: pod.ObjectMeta, Spec: pod.Spec}}}
	d.Namespace, d.Name = "shop", "web"
	return d
}

func TestValidators(t *testing.T) {
	t.Parallel()
	bad := velerov1.BackupSpec{IncludedNamespaces: []string{"a"}, ExcludedNamespaces: []string{"a"}}
	gate := gateConfigMap("gate", map[string]string{gateconfig.KeyImage: "x/y"})
	block := claimOf("shop", "data", "u")
	mode := corev1.PersistentVolumeBlock
	block.Spec.VolumeMode = &mode
	for name, tc := range map[string]struct {
		path        string
		kind        schema.GroupVersionKind
		object, old client.Object
		world       *world

		wantRefused  string // part of the message; "" means admitted
		wantWarnings []string
	}{
		"a broken ConfigMap is refused": {
			path: registration.ValidateConfigMapsPath, kind: configMapKind, object: nodeAgentConfig(`{"podResources":{"cpuLimit":"much"}}`),
			wantRefused: `podkeep: data[x]: podResources.cpuLimit: Invalid value: "much": must be a quantity such as 500m or 1Gi`,
		},
		"an unknown key is warned of": {
			path: registration.ValidateConfigMapsPath, kind: configMapKind, object: nodeAgentConfig(`{"a":1}`),
			wantWarnings: []string{"podkeep: data[x]: a: unknown key, ignored; known keys are "},
		},
		"a ConfigMap in another namespace is nobody's business": {
			path: registration.ValidateConfigMapsPath, kind: configMapKind, object: elsewhere(nodeAgentConfig(`{"podResources":{"cpuLimit":"much"}}`)),
		},
		"a ConfigMap that changes its labels only": {
			path: registration.ValidateConfigMapsPath, kind: configMapKind, object: nodeAgentConfig(`{`), old: nodeAgentConfig(`{`),
		},
		"a second ConfigMap of the gate is warned of": {
			path: registration.ValidateConfigMapsPath, kind: configMapKind, object: gateConfigMap("other", nil), world: worldWith(gate),
			wantWarnings: []string{"podkeep: metadata.labels: ConfigMap gate has the labels of the restore gate, too"},
		},
		"the ConfigMap of the gate itself is not the second": {
			path: registration.ValidateConfigMapsPath, kind: configMapKind, object: gate, world: worldWith(gate),
		},
		"a broken backup is refused": {
			path: registration.ValidateResourcesPath, kind: backupKind, object: backup(bad, ""),
			wantRefused: `podkeep: spec.excludedNamespaces: Invalid value: "a": must not be in includedNamespaces too`,
		},
		"a broken backup from a bucket is admitted": {
			path: registration.ValidateResourcesPath, kind: backupKind, object: backup(bad, velerov1.BackupPhaseCompleted),
		},
		"a status is written": {
			path: registration.ValidateResourcesPath, kind: backupKind, object: backup(bad, velerov1.BackupPhaseNew), old: backup(bad, ""),
		},
		"a Deployment with a typing error": {
			path: registration.WarningsPath, kind: deploymentKind, object: deployment(volumes("data"), include("dta")),
			wantWarnings: []string{"podkeep: the pod has no volumes named dta; correct its annotations"},
		},
		"a Deployment with a claim on a raw device": {
			path: registration.WarningsPath, kind: deploymentKind, object: deployment(claimVolume("data"), include("data")), world: worldWith(block),
			wantWarnings: []string{"podkeep: volume data cannot be backed up (BlockVolume)"},
		},
		"a Deployment in a namespace that is off": {
			path: registration.WarningsPath, kind: deploymentKind, object: deployment(volumes("data"), include("data")),
			world:        worldWith(namespaceWith("shop", velerov1.FSBackupOff)),
			wantWarnings: []string{"podkeep: volume data is asked for, and the namespace's label podkeep.io/fs-backup=off wins"},
		},
		"a Deployment as it should be": {
			path: registration.WarningsPath, kind: deploymentKind, object: deployment(volumes("data"), include("data")),
		},
		"a pod with a typing error": {
			path: registration.WarningsPath, kind: podKind, object: podWith(volumes("data"), include("dta")),
			wantWarnings: []string{"podkeep: the pod has no volumes named dta"},
		},
		"what cannot be judged is admitted with a warning": {
			path: registration.WarningsPath, kind: podKind, object: podWith(claimVolume("data")), world: &world{err: errors.New("connection refused")},
			wantWarnings: []string{"podkeep: not checked: getting namespace shop: connection refused"},
		},
		"what does not decode is admitted with a warning": {
			path: registration.WarningsPath, kind: deploymentKind, object: &corev1.Event{Type: "x"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			cached, live := tc.world, worldWith()
			if cached == nil {
				cached = worldWith()
			}

			got := answerOf(t, post(t, served(t, cached, live), tc.path, request(t, tc.kind, tc.object, tc.old)))

			g.Expect(got.UID).To(BeEquivalentTo("request-uid"))
			g.Expect(got.Allowed).To(Equal(tc.wantRefused == ""), got.Result.Message)
			g.Expect(got.Result.Message).To(ContainSubstring(tc.wantRefused))
			if !got.Allowed {
				g.Expect(got.Result.Code).To(BeEquivalentTo(http.StatusUnprocessableEntity))
				g.Expect(got.Result.Reason).To(Equal(metav1.StatusReasonInvalid))
			}
			g.Expect(got.Patch).To(BeEmpty())
			g.Expect(got.Warnings).To(HaveLen(len(tc.wantWarnings)), "%q", got.Warnings)
			for i := range tc.wantWarnings {
				g.Expect(got.Warnings[i]).To(HavePrefix(tc.wantWarnings[i]))
			}
			g.Expect(live.reads).To(BeZero(), "answers are from caches")
		})
	}
}

func TestValidatorsCount(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	m, err := newMetrics(prometheus.NewRegistry())
	g.Expect(err).NotTo(HaveOccurred())
	h := &validator{
		name: "resources", metrics: m,
		judge: (&resourceValidator{namespace: installNamespace}).judge,
	}

	send(t, h, podWith())

	g.Expect(testutil.ToFloat64(m.decisions.WithLabelValues("resources", "true", "NotOurs"))).To(BeEquivalentTo(1))
}

// TestSelectionFailsOpen has a cache that answers nothing.
func TestSelectionFailsOpen(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	broken := &world{err: errors.New("connection refused")}
	h := served(t, broken, broken)
	body := request(t, podKind, podWith(claimVolume("data"), restored("data")), nil)

	g.Expect(answerOf(t, post(t, h, registration.SelectionPath, body)).Allowed).To(BeTrue(), "a backup tool never stops an application")
	g.Expect(answerOf(t, post(t, h, registration.SelectionPath, []byte(`{`))).Allowed).To(BeFalse(), "that is no request at all")
	for _, path := range []string{registration.GatePath, registration.GuardPath} {
		g.Expect(answerOf(t, post(t, h, path, body)).Allowed).To(BeFalse(), path)
	}
}

// TestAdmissionsReadNothingFromTheAPI sends one of each kind of request with caches
// that are up to date.
func TestAdmissionsReadNothingFromTheAPI(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	cached := worldWith(
		namespaceWith("shop", velerov1.FSBackupOptOut), claimOf("shop", "data", "claim-uid"), volumeRestore("claim-uid", ""),
		claimOf("shop", "free", "free-uid"), restore("shop-1", velerov1.RestorePhaseInProgress), gateConfigMap("gate", nil),
	)
	live := worldWith()
	h := served(t, cached, live)
	requests := map[string][]byte{
		registration.SelectionPath:          request(t, podKind, podWith(claimVolume("data"), include("data")), nil),
		registration.GatePath:               request(t, podKind, podWith(volumes("data"), restored("data")), nil),
		registration.GuardPath:              request(t, podKind, podWith(claimVolume("free")), nil),
		registration.ValidateConfigMapsPath: request(t, configMapKind, nodeAgentConfig(`{}`), nil),
		registration.ValidateResourcesPath:  request(t, backupKind, backup(velerov1.BackupSpec{}, ""), nil),
		registration.WarningsPath:           request(t, deploymentKind, deployment(claimVolume("data"), include("data")), nil),
	}
	g.Expect(requests).To(HaveLen(len(metricNames)), "every path is asked")

	for path, body := range requests {
		g.Expect(answerOf(t, post(t, h, path, body)).Allowed).To(BeTrue(), path)
	}

	g.Expect(cached.reads).NotTo(BeZero())
	g.Expect(live.reads).To(BeZero())
}
