package webhook

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	. "github.com/onsi/gomega"
	"github.com/prometheus/client_golang/prometheus"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/selection"
)

// scaleNamespaces is how many namespaces, each with a policy, a claim and a volume,
// the test decides on.
const scaleNamespaces = 10_000

// countingAPI is an API server that has namespaces, claims and volumes, serves lists
// and silent watches of them, and counts every request.
type countingAPI struct {
	lists    map[string]runtime.Object // by path
	requests atomic.Int64
	watches  atomic.Int64 // that have begun
}

func (a *countingAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.requests.Add(1)
	w.Header().Set("Content-Type", "application/json")
	list, known := a.lists[r.URL.Path]
	switch {
	case !known:
		http.NotFound(w, r)
	case r.URL.Query().Get("sendInitialEvents") != "": // an older server: the client lists
		w.WriteHeader(http.StatusUnprocessableEntity)
		_ = json.NewEncoder(w).Encode(metav1.Status{Status: metav1.StatusFailure, Reason: metav1.StatusReasonInvalid, Code: http.StatusUnprocessableEntity})
	case r.URL.Query().Get("watch") != "":
		w.(http.Flusher).Flush()
		a.watches.Add(1)
		<-r.Context().Done()
	default:
		_ = json.NewEncoder(w).Encode(list)
	}
}

// scaleWorld is namespace i of the test: what people have set there, and what must
// be decided. The numbers are prime to each other, so that all combinations occur.
type scaleWorld struct {
	policy string
	wish   string
	onNode bool
}

func scaleWorldOf(i int) scaleWorld {
	return scaleWorld{
		policy: []string{velerov1.FSBackupOptIn, velerov1.FSBackupOptOut, velerov1.FSBackupOff, "", "typo"}[i%5],
		wish:   []string{"", velerov1.ClaimInclude, velerov1.ClaimExclude}[i%3],
		onNode: i%7 == 0,
	}
}

// want is the reason for the volume with the claim, written without the rules.
func (s scaleWorld) want() selection.Reason {
	switch {
	case s.onNode:
		return selection.ReasonHostPathUnsupported
	case s.wish == velerov1.ClaimExclude:
		return selection.ReasonExcludedByClaim
	case s.wish == velerov1.ClaimInclude && s.policy != velerov1.FSBackupOff:
		return selection.ReasonIncludedByClaim
	case s.policy == "" || s.policy == "typo":
		return selection.ReasonServerDefault
	default:
		return selection.ReasonNamespacePolicy
	}
}

func scaleName(i int) string { return fmt.Sprintf("ns-%05d", i) }

func newCountingAPI() *countingAPI {
	namespaces := &metav1.PartialObjectMetadataList{}
	namespaces.SetGroupVersionKind(metav1.SchemeGroupVersion.WithKind("PartialObjectMetadataList"))
	claims, volumes := &corev1.PersistentVolumeClaimList{}, &corev1.PersistentVolumeList{}
	claims.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("PersistentVolumeClaimList"))
	volumes.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("PersistentVolumeList"))
	for i := range scaleNamespaces {
		s, name := scaleWorldOf(i), scaleName(i)
		n := namespaceWith(name, s.policy)
		n.SetGroupVersionKind(metav1.SchemeGroupVersion.WithKind("PartialObjectMetadata"))
		namespaces.Items = append(namespaces.Items, *n)
		c := claimOf(name, "data", "uid-"+name)
		c.Spec.VolumeName = "pv-" + name
		if s.wish != "" {
			c.Annotations = map[string]string{velerov1.ClaimFSBackupAnnotation: s.wish, "other": strings.Repeat("x", 200)}
		}
		claims.Items = append(claims.Items, *c)
		v := corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: "pv-" + name}}
		if s.onNode {
			v.Spec.HostPath = &corev1.HostPathVolumeSource{Path: "/x"}
		}
		volumes.Items = append(volumes.Items, v)
	}
	for _, l := range []metav1.ListInterface{namespaces, claims, volumes} {
		l.SetResourceVersion("1")
	}
	return &countingAPI{lists: map[string]runtime.Object{
		"/api/v1/namespaces": namespaces, "/api/v1/persistentvolumeclaims": claims, "/api/v1/persistentvolumes": volumes,
	}}
}

// cachedClient is the client that a manager with CacheOptions gives to the handlers.
func cachedClient(t *testing.T, api http.Handler) client.Client {
	t.Helper()
	g := NewWithT(t)
	server := httptest.NewServer(api)
	t.Cleanup(server.Close)
	t.Cleanup(server.CloseClientConnections) // watches do not end by themselves
	scheme := runtime.NewScheme()
	g.Expect(corev1.AddToScheme(scheme)).To(Succeed())
	g.Expect(velerov1.AddToScheme(scheme)).To(Succeed())
	mapper := meta.NewDefaultRESTMapper(nil)
	for gvk := range scheme.AllKnownTypes() {
		scope := meta.RESTScopeNamespace
		if gvk.Kind == "Namespace" || gvk.Kind == "PersistentVolume" || gvk.Kind == "MutatingWebhookConfiguration" {
			scope = meta.RESTScopeRoot
		}
		mapper.Add(gvk, scope)
	}
	config := &rest.Config{Host: server.URL, QPS: -1}
	options := CacheOptions(installNamespace)
	options.Scheme, options.Mapper = scheme, mapper
	for object := range options.ByObject { // the fake API server has no others
		switch object.(type) {
		case *corev1.PersistentVolumeClaim, *corev1.PersistentVolume, *metav1.PartialObjectMetadata:
		default:
			delete(options.ByObject, object)
		}
	}
	informers, err := cache.New(config, options)
	g.Expect(err).NotTo(HaveOccurred())
	go func() { _ = informers.Start(t.Context()) }()
	for _, o := range []client.Object{namespaceMetadata(), &corev1.PersistentVolumeClaim{}, &corev1.PersistentVolume{}} {
		_, err := informers.GetInformer(t.Context(), o)
		g.Expect(err).NotTo(HaveOccurred())
	}
	g.Expect(informers.WaitForCacheSync(t.Context())).To(BeTrue())
	c, err := client.New(config, client.Options{Scheme: scheme, Mapper: mapper, Cache: &client.CacheOptions{Reader: informers}})
	g.Expect(err).NotTo(HaveOccurred())
	return c
}

// TestTenThousandNamespacesAreDecidedWithoutARead admits a pod in each of 10 000
// namespaces through the real cache and client, and counts what reaches the API
// server.
func TestTenThousandNamespacesAreDecidedWithoutARead(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	api := newCountingAPI()
	c := cachedClient(t, api)
	m, err := newMetrics(prometheus.NewRegistry())
	g.Expect(err).NotTo(HaveOccurred())
	h := &handler{name: "selection", judge: (&selectionHandler{cache: c}).judge, metrics: m}
	raw, err := json.Marshal(podWith(claimVolume("data"), volumes("cache")))
	g.Expect(err).NotTo(HaveOccurred())
	g.Eventually(api.watches.Load).Should(BeEquivalentTo(3), "the caches are filled and follow")
	before := api.requests.Load()

	for i := range scaleNamespaces {
		req := admission.Request{AdmissionRequest: admissionv1.AdmissionRequest{
			Operation: admissionv1.Create, Kind: metav1.GroupVersionKind{Version: "v1", Kind: "Pod"}, Namespace: scaleName(i), Object: runtime.RawExtension{Raw: raw},
		}}

		resp := h.Handle(t.Context(), req)

		if !resp.Allowed || len(resp.Patches) != 1 {
			t.Fatalf("namespace %d: %+v", i, resp)
		}
		stamp, ok := resp.Patches[0].Value.(map[string]string)
		g.Expect(ok).To(BeTrue())
		want, included := scaleWorldOf(i).want(), stamp[velerov1.SelectedVolumesAnnotation]
		switch want {
		case selection.ReasonIncludedByClaim:
			g.Expect(strings.Split(included, ",")).To(ContainElement("data"), "namespace "+strconv.Itoa(i))
		case selection.ReasonNamespacePolicy:
			g.Expect(strings.Contains(included, "data")).To(Equal(scaleWorldOf(i).policy == velerov1.FSBackupOptOut), "namespace "+strconv.Itoa(i))
		default:
			g.Expect(stamp[velerov1.SkippedVolumesAnnotation]).To(ContainSubstring("data="+string(want)), "namespace "+strconv.Itoa(i))
		}
	}

	g.Expect(api.requests.Load()).To(Equal(before), "requests to the API server for %d admissions", scaleNamespaces)
}
