package webhook

import (
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/podkeep/podkeep/internal/gateconfig"
)

func TestConfigMapReconcilerReports(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		world *world
		want  []string
	}{
		"every value that is not used": {
			world: worldWith(gateConfigMap("gate", map[string]string{gateconfig.KeyCPULimit: "lots", "imgae": "x"})),
			want: []string{
				`Warning InvalidValue data.cpuLimit: Invalid value: "lots": must be a quantity such as 100m; using 100m`,
				`Warning InvalidValue data.imgae: Invalid value: "x": unknown key`,
			},
		},
		"several ConfigMaps": {
			world: worldWith(gateConfigMap("gate", nil), gateConfigMap("more", nil)),
			want:  []string{`Warning AmbiguousConfiguration ConfigMaps gate, more all have the labels of the restore gate`},
		},
		"nothing when all is well": {
			world: worldWith(gateConfigMap("gate", map[string]string{gateconfig.KeyCPULimit: "1"})),
		},
		"nothing when the ConfigMap is gone": {world: worldWith()},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			recorder := events.NewFakeRecorder(10)
			r := &ConfigMapReconciler{Client: worldClient{world: tc.world}, Recorder: recorder, Image: gateImage}
			req := ctrl.Request{NamespacedName: client.ObjectKey{Namespace: installNamespace, Name: "gate"}}

			_, err := r.Reconcile(t.Context(), req)

			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(recorder.Events).To(HaveLen(len(tc.want)))
			for _, want := range tc.want {
				g.Expect(<-recorder.Events).To(HavePrefix(want))
			}
		})
	}
}

func TestNoteFitsIntoAnEvent(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)

	text := note(gateconfig.Problem{Key: "secCtx", Value: strings.Repeat("ä", 2000), Message: "m"})

	g.Expect(len(text)).To(BeNumerically("<=", maxNoteBytes))
	g.Expect(text).To(HaveSuffix("…"))
}
