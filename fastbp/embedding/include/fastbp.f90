! fastbp.f90: a network of fastbp, called from Fortran 2018; fastbp.h says what the functions do and what they return.
!
! Python passes the address of the struct, ctypes.byref(net.c_pointers(rows)), to Fortran in the same process:
!
!     subroutine simulate(net) bind(c)
!       use fastbp
!       type(fastbp_network), intent(in) :: net
!       procedure(fastbp_outputs_f32), pointer :: predict
!       call c_f_procpointer(net%predict, predict)
!       if (predict(net%handle, x, 1_c_int64_t, out) /= fastbp_done) ...
!
! Arrays lie in Fortran's order, so the axes are those of fastbp.h from last to first: x (inputs, rows),
! out (outputs, rows). y: integer(c_int64_t) labels from 0 to outputs - 1, or reals of the network's kind.

module fastbp
  use, intrinsic :: iso_c_binding
  implicit none
  public

  integer(c_int32_t), parameter :: fastbp_done = 0, fastbp_in_use = 1, fastbp_unable = 2, fastbp_bad_rows = 3, &
                                   fastbp_bad_label = 6, fastbp_is_null = 9, fastbp_bad_gradient = 11, &
                                   fastbp_one_row = 13

  ! fastbp_f32 or fastbp_f64 of fastbp.h: the interface that c_f_procpointer gets says which.
  type, bind(c) :: fastbp_network
    type(c_ptr) :: handle
    integer(c_int64_t) :: rows, inputs, outputs, num_params
    type(c_ptr) :: params
    type(c_funptr) :: predict, forward, train_step, value_and_grad, input_gradient, input_jacobian, value
    type(c_funptr) :: apply_gradients
  end type

  abstract interface
    ! predict, forward, input_jacobian
    function fastbp_outputs_f32(handle, x, rows, out) result(status) bind(c)
      import
      type(c_ptr), value :: handle
      real(c_float), intent(in) :: x(*)
      integer(c_int64_t), value :: rows
      real(c_float), intent(out) :: out(*)
      integer(c_int32_t) :: status
    end function

    function fastbp_outputs_f64(handle, x, rows, out) result(status) bind(c)
      import
      type(c_ptr), value :: handle
      real(c_double), intent(in) :: x(*)
      integer(c_int64_t), value :: rows
      real(c_double), intent(out) :: out(*)
      integer(c_int32_t) :: status
    end function

    ! train_step
    function fastbp_step_f32(handle, x, y, rows, loss) result(status) bind(c)
      import
      type(c_ptr), value :: handle
      real(c_float), intent(in) :: x(*)
      type(*), intent(in) :: y(*)
      integer(c_int64_t), value :: rows
      real(c_double), intent(out) :: loss
      integer(c_int32_t) :: status
    end function

    function fastbp_step_f64(handle, x, y, rows, loss) result(status) bind(c)
      import
      type(c_ptr), value :: handle
      real(c_double), intent(in) :: x(*)
      type(*), intent(in) :: y(*)
      integer(c_int64_t), value :: rows
      real(c_double), intent(out) :: loss
      integer(c_int32_t) :: status
    end function

    ! value_and_grad, input_gradient
    function fastbp_gradient_f32(handle, x, y, rows, loss, out) result(status) bind(c)
      import
      type(c_ptr), value :: handle
      real(c_float), intent(in) :: x(*)
      type(*), intent(in) :: y(*)
      integer(c_int64_t), value :: rows
      real(c_double), intent(out) :: loss
      real(c_float), intent(out) :: out(*)
      integer(c_int32_t) :: status
    end function

    function fastbp_gradient_f64(handle, x, y, rows, loss, out) result(status) bind(c)
      import
      type(c_ptr), value :: handle
      real(c_double), intent(in) :: x(*)
      type(*), intent(in) :: y(*)
      integer(c_int64_t), value :: rows
      real(c_double), intent(out) :: loss
      real(c_double), intent(out) :: out(*)
      integer(c_int32_t) :: status
    end function

    ! value
    function fastbp_value(n, x, handle) result(y) bind(c)
      import
      integer(c_int32_t), value :: n
      real(c_double), intent(in) :: x(*)
      type(c_ptr), value :: handle
      real(c_double) :: y
    end function

    ! apply_gradients
    function fastbp_apply_f32(handle, gradient) result(status) bind(c)
      import
      type(c_ptr), value :: handle
      real(c_float), intent(in) :: gradient(*)
      integer(c_int32_t) :: status
    end function

    function fastbp_apply_f64(handle, gradient) result(status) bind(c)
      import
      type(c_ptr), value :: handle
      real(c_double), intent(in) :: gradient(*)
      integer(c_int32_t) :: status
    end function
  end interface
end module
